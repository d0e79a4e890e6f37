import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { trustFault } from './file-trust.js'
import { ConfigError, type Problem } from './problem.js'

/** The content of a file of KEY=VALUE lines; `problems` name the line, never its value. */
export interface EnvFile {
  readonly values: ReadonlyMap<string, string>
  readonly problems: readonly Problem[]
}

const ASSIGNMENT = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)$/
const DOUBLE_QUOTED = /^"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?$/
const SINGLE_QUOTED = /^'([^']*)'[ \t]*(?:#.*)?$/
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\', $: '$' }

/**
 * Parses lines of KEY=VALUE. `export` before the key and spaces around `=` are allowed; a line that begins with `#` is
 * a comment, and so is ` #` after a value. 'Single quotes' take everything literally; "double quotes" know \n \r \t \"
 * \\ and \$. Nothing is expanded: a `$` is a `$`.
 */
export function parseEnvFile(text: string, name = 'the configuration file'): EnvFile {
  const values = new Map<string, string>()
  const problems: Problem[] = []
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  for (const [index, raw] of lines.entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const wrong = (fault: string): void => void problems.push({ variable: `${name}, line ${index + 1},`, fault })
    const [, key, rest] = ASSIGNMENT.exec(line) ?? []
    if (key === undefined || rest === undefined) {
      wrong('is not of the form NAME=value')
      continue
    }
    const value = unquote(rest)
    if (value === undefined) wrong(`has an unfinished or unknown quoting or escape in the value of ${key}`)
    else if (value.includes('\0')) wrong(`has a NUL byte in the value of ${key}`)
    else if (values.has(key)) wrong(`sets ${key} a second time`)
    else values.set(key, value)
  }
  return { values, problems }
}

function unquote(rest: string): string | undefined {
  if (rest.startsWith("'")) return SINGLE_QUOTED.exec(rest)?.[1]
  if (!rest.startsWith('"')) return rest.replace(/(?:^|[ \t]+)#.*$/, '')
  const inside = DOUBLE_QUOTED.exec(rest)?.[1]
  if (inside === undefined) return undefined
  let known = true
  const value = inside.replace(/\\(.)/g, (_, escaped: string) => {
    const plain = ESCAPES[escaped]
    if (plain === undefined) known = false
    return plain ?? ''
  })
  return known ? value : undefined
}

/**
 * The nearest `.sealfleet/env` in `cwd` or a folder above it, or undefined. The file names a library to load and holds
 * secrets, so a file that others may read or could have written is refused (as git refuses a foreign repository).
 * @throws {ConfigError} for such a file
 */
export function findEnvFile(cwd: string): string | undefined {
  let folder = resolve(cwd)
  for (;;) {
    const file = join(folder, '.sealfleet', 'env')
    if (existsSync(file)) return trusted(file)
    const parent = dirname(folder)
    if (parent === folder) return undefined
    folder = parent
  }
}

function trusted(file: string): string {
  const fault = trustFault(file, statSync(file), 'secret')
  if (fault === undefined) return file
  throw new ConfigError([{ variable: file, fault }])
}
