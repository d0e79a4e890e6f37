/**
 * `npm run vectors -- FILE…`: runs known answers against this implementation. One line a vector, then
 * `N passed, N failed`. Exit status: 0 all passed, 1 a vector failed or a file is none of vectors, 2 usage.
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { type Vector, VectorFileError, parseVectorFile } from './vector-file.js'
import { runVector } from './vector-run.js'

const USAGE =
  'usage: npm run vectors -- FILE…\nRuns vector files; packages/format/test/vectors/README.md has their schema.'

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** npm runs scripts in the repository's root, but people name files from where they stand. */
function locate(file: string): string {
  const fromUser = resolve(process.env.INIT_CWD ?? '.', file)
  return existsSync(fromUser) ? fromUser : resolve(file)
}

function load(file: string): Vector[] {
  let text: string
  try {
    text = readFileSync(locate(file), 'utf8')
  } catch (error) {
    throw new VectorFileError(`it cannot be read (${messageOf(error)})`)
  }
  return parseVectorFile(text)
}

async function runFile(file: string, prefix: string, tally: { passed: number; failed: number }): Promise<void> {
  let vectors: Vector[]
  try {
    vectors = load(file)
  } catch (error) {
    tally.failed += 1
    console.log(`FAIL  ${file}: not a vector file: ${messageOf(error)}`)
    return
  }
  for (const vector of vectors) {
    try {
      await runVector(vector)
      tally.passed += 1
      console.log(`ok    ${prefix}${vector.name}`)
    } catch (error) {
      tally.failed += 1
      console.log(`FAIL  ${prefix}${vector.name}: ${messageOf(error)}`)
    }
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(USAGE)
    return 0
  }
  if (args.length === 0 || args.some((arg) => arg.startsWith('-'))) {
    console.error(USAGE)
    return 2
  }
  const tally = { passed: 0, failed: 0 }
  for (const file of args) await runFile(file, args.length > 1 ? `${basename(file)} ` : '', tally)
  console.log(`${tally.passed} passed, ${tally.failed} failed`)
  return tally.failed === 0 ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
