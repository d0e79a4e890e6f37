/** The dashboard as a function; `main.ts` is the process around it. */
export { runOps, type OpsSettings, type RunningOps, type OpsOptions } from './run.js'
