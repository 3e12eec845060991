// The project on Railway: a database, and the service that migrates it before each of its deployments.
//
//   railway config plan     shows what would change
//   railway config apply    changes it, after a question
import { defineRailway, postgres, project, service } from "railway/iac";

export default defineRailway(() => {
  const database = postgres("postgres");

  // Railway gives the pre-deploy command up after this many seconds, at most an hour. The job ends by itself before, by
  // MIGRATE_DEADLINE: no revision is begun that would be cut off. (The SDK's types do not list the key yet.)
  const limit = { preDeployTimeoutSeconds: @limit@ };

  const web = service(@service@, {
    build: { builder: "DOCKERFILE", dockerfilePath: @dockerfile@ },
    // One command, without shell operators: its exit code is what stops the deployment.
    preDeploy: ["migrate up --strict@breaking@"],
    // It waits until the database is ready for this image: a second gate, should the pre-deploy command ever be lost.
    start: @gated-start@,
    healthcheck: @health@,
    healthcheckTimeout: 60,
    deploy: {
      ...limit,
      restartPolicyType: "ON_FAILURE",
      restartPolicyMaxRetries: 5,
      // Without it SIGKILL follows SIGTERM at once.
      drainingSeconds: 30,
    },
    env: { DATABASE_URL: database.env.DATABASE_URL, MIGRATE_DEADLINE: "@deadline@" },
  });

  return project(@project@, { resources: [database, web] });
});
