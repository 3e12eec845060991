#!/bin/sh
# Runs the release job as a task of ECS, and ends with the job's exit code.
#
#   CLUSTER=shop SUBNETS=subnet-1,subnet-2 SECURITY_GROUPS=sg-1 sh deploy/ecs/migrate.sh
#
# COMMAND, a JSON array, replaces the command of the task definition.
set -eu
export AWS_PAGER=""
: "${CLUSTER:?}" "${SUBNETS:?}" "${SECURITY_GROUPS:?}"
network="awsvpcConfiguration={subnets=[$SUBNETS],securityGroups=[$SECURITY_GROUPS],assignPublicIp=${PUBLIC_IP:-DISABLED}}"
overrides='{}'
if [ -n "${COMMAND:-}" ]; then
  overrides="{\"containerOverrides\":[{\"name\":\"migrate\",\"command\":$COMMAND}]}"
fi

definition=$(aws ecs register-task-definition --cli-input-json "file://$(dirname "$0")/task-definition.json" \
  --query taskDefinition.taskDefinitionArn --output text)

# The job has stopTimeout to cancel its statement on the server, roll back and say so.
trap 'aws ecs stop-task --cluster "$CLUSTER" --task "${task:-}" --reason "the release was cancelled" >/dev/null; exit 143' INT TERM

ask() {
  aws ecs describe-tasks --cluster "$CLUSTER" --tasks "$task" --query "tasks[0].$1" --output text
}

for pause in 15 60 180 0; do
  task=$(aws ecs run-task --cluster "$CLUSTER" --task-definition "$definition" --launch-type FARGATE --count 1 \
    --network-configuration "$network" --overrides "$overrides" --query 'tasks[0].taskArn' --output text)
  if [ "$task" = None ]; then
    echo "ECS has placed no task: see the events of cluster $CLUSTER" >&2
    exit 1
  fi
  # STOPPED is all that is waited for: a task that ends fast is never seen RUNNING, and the waiter of the command line
  # gives up after ten minutes. A call that fails is made again.
  until [ "$(ask lastStatus || true)" = STOPPED ]; do sleep "${POLL:-5}"; done
  code=$(ask "containers[?name=='migrate'].exitCode | [0]")
  if [ "$code" = None ]; then
    echo "the job never started: $(ask stoppedReason)" >&2
    exit 1
  fi
  echo "$task: exit code $code" >&2
  case "$code" in
    20 | 21 | 22 | 23 | 24 | 25 | 130 | 137 | 143) sleep "$pause" ;;
    *) break ;;
  esac
done
exit "$code"
