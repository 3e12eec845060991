#!/bin/sh
# Runs the release job as a job of AWS Batch, and waits until it has ended: 0 where it succeeded, 1 where it failed.
#
#   QUEUE=shop sh deploy/aws-batch/migrate.sh
#
# COMMAND, a JSON array, replaces the command of the job definition.
set -eu
export AWS_PAGER=""
: "${QUEUE:?}"
overrides='{}'
if [ -n "${COMMAND:-}" ]; then
  overrides="{\"command\":$COMMAND}"
fi

definition=$(aws batch register-job-definition --cli-input-json "file://$(dirname "$0")/job-definition.json" \
  --query jobDefinitionArn --output text)
job=$(aws batch submit-job --job-name @project-name@-migrate --job-queue "$QUEUE" --job-definition "$definition" \
  --container-overrides "$overrides"@array@ --query jobId --output text)

# The job is sent SIGTERM: it cancels its statement on the server, rolls back and says so.
trap 'aws batch terminate-job --job-id "$job" --reason "the release was cancelled" >/dev/null; exit 143' INT TERM

ask() {
  aws batch describe-jobs --jobs "$job" --query "jobs[0].$1" --output text
}

# A call that fails is made again.
until status=$(ask status || true) && { [ "$status" = SUCCEEDED ] || [ "$status" = FAILED ]; }; do sleep "${POLL:-5}"; done
if [ "$status" = FAILED ]; then
  echo "job $job failed: $(ask statusReason)" >&2
  exit 1
fi
echo "job $job succeeded" >&2
