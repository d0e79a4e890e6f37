#!/usr/bin/env node
// Committed so that `npx sealfleet` works in a checkout; the program itself is compiled and bundled (tools/lib/bundle.mjs).
import { existsSync } from 'node:fs'

const main = new URL('../../../bundle/sealfleet.mjs', import.meta.url)
// The AWS SDK's notice about Node versions is for us who choose the SDK's version, not for the user of a command.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
// A passphrase that is typed while the program loads must not be shown by the terminal; the verb asks for it, and turns the
// echo on again when it is done (as Node does when the process ends).
const args = process.argv.slice(2)
const asks =
  (args.includes('operators') && args.includes('keygen')) || (args.includes('requests') && args.includes('sign'))
const needsNone = ['--passphrase-file', '--no-passphrase', '--help'].some((option) => args.includes(option))
if (asks && !needsNone && process.stdin.isTTY) process.stdin.setRawMode(true)
if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write('sealfleet: not built yet\n  fix: npm run build\n')
  process.exitCode = 1
}
