#!/usr/bin/env node
// What `npm run migrate` is in a checkout, for an installed package: applies the migrations that it brings.
const main = new URL('../../../bundle/migrate.mjs', import.meta.url)
const { runMigrateCommand } = await import(main.href)

process.exitCode = await runMigrateCommand(process.argv.slice(2), process.env, process.cwd(), {
  out: (/** @type {string} */ line) => void process.stdout.write(`${line}\n`),
  err: (/** @type {string} */ line) => void process.stderr.write(`${line}\n`),
})
