#!/usr/bin/env node
// Committed so that `npx sealfleet` works in a checkout; the program itself is compiled TypeScript.
import { existsSync } from 'node:fs'

const main = new URL('../dist/main.js', import.meta.url)
if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write('sealfleet: not built yet\n  fix: npm run build\n')
  process.exitCode = 1
}
