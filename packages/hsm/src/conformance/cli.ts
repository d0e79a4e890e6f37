import { main } from './main.js'

/** `node dist/conformance/cli.js --module PATH …`: the entry of a process; no module imports it. */
process.exitCode = await main(process.argv.slice(2), process.stdout, process.stderr)
