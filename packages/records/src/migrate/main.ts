#!/usr/bin/env node
import { pathToFileURL } from 'node:url'
import { runMigrateCommand } from './command.js'

/** `npm run migrate`: the only place of this package that reads the environment. Importing it runs nothing. */
if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await runMigrateCommand(process.argv.slice(2), process.env, process.cwd(), {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
  })
}
