/** The HTTP API as a function; `main.ts` is the process around it. */
export { runGateway, type GatewayOptions, type GatewaySettings, type RunningGateway } from './run.js'
