// Prints what a .railway/railway.ts describes: `tsx evaluate.ts FILE`.
import { pathToFileURL } from "node:url";
import { createRailwayContext, project, type RailwayProgram } from "railway/iac";

const file = process.argv[2];
if (!file) throw new Error("usage: tsx evaluate.ts FILE");
const loaded = (await import(pathToFileURL(file).href)) as { default: RailwayProgram };
const described = await loaded.default(createRailwayContext({ environment: "production" }), project);
process.stdout.write(JSON.stringify(described));
