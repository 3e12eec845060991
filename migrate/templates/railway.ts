// The project on Railway: a database, and the service that migrates it before each of its deployments.
//
//   railway config plan     shows what would change
//   railway config apply    changes it, after a question
import { defineRailway, postgres, project, service } from "railway/iac";

export default defineRailway(() => {
  const database = postgres("postgres");

  const web = service(@service@, {
    build: { builder: "DOCKERFILE", dockerfilePath: @dockerfile@ },
    // One command, without shell operators: its exit code is what stops the deployment.
    preDeploy: ["migrate up"],
    start: @start@,
    healthcheck: @health@,
    healthcheckTimeout: 60,
    deploy: {
      restartPolicyType: "ON_FAILURE",
      restartPolicyMaxRetries: 5,
      // Without it SIGKILL follows SIGTERM at once.
      drainingSeconds: 30,
    },
    env: { DATABASE_URL: database.env.DATABASE_URL },
  });

  return project(@project@, { resources: [database, web] });
});
