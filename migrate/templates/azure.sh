#!/bin/sh
# Runs the release job in Azure Container Apps, and fails if it failed.
#
#   RESOURCE_GROUP=shop sh deploy/azure/migrate.sh            # or: ... migrate.sh contract
set -eu
: "${RESOURCE_GROUP:?}"
which=${1:-migrate}
job=@project-name@-$which
file=$(dirname "$0")/job.yaml
[ "$which" = migrate ] || file=$(dirname "$0")/$which.yaml

verb=create
if az containerapp job show --resource-group "$RESOURCE_GROUP" --name "$job" --output none 2>/dev/null; then
  verb=update
fi
az containerapp job "$verb" --resource-group "$RESOURCE_GROUP" --name "$job" --yaml "$file" --output none

execution=$(az containerapp job start --resource-group "$RESOURCE_GROUP" --name "$job" --query name --output tsv)
trap 'az containerapp job stop --resource-group "$RESOURCE_GROUP" --name "$job" --job-execution-name "$execution"; exit 143' INT TERM

while :; do
  # A call that fails is made again.
  status=$(az containerapp job execution show --resource-group "$RESOURCE_GROUP" --name "$job" \
    --job-execution-name "$execution" --query properties.status --output tsv || true)
  case "$status" in
    Succeeded)
      echo "$execution: Succeeded" >&2
      exit 0
      ;;
    Failed | Degraded | Stopped)
      # The exit code is in the log alone: the last line of the job, in the environment's Log Analytics workspace.
      echo "$execution: $status; az containerapp job logs show --resource-group $RESOURCE_GROUP --name $job" \
        "--execution $execution --container migrate" >&2
      exit 1
      ;;
  esac
  sleep "${POLL:-10}"
done
