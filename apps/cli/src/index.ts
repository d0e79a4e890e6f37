/** The `sealfleet` command as a function: what `bin/sealfleet.mjs` runs through `main.ts`, and tests run in process. */
export { EXIT, type ExitStatus } from './exit-status.js'
export type { Io, Terminal } from './io.js'
export { run } from './program.js'
