import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { parseEnvFile, type EnvFile } from './env-file.js'
import { trustFault } from './file-trust.js'
import type { Problem } from './problem.js'

/** The text of a variable: in the environment or in the configuration file, as NAME or as NAME_FILE. */
export interface Given {
  readonly name: string
  readonly text: string
}

/**
 * The environment over the configuration file. A variable set in either form in the environment hides both of its
 * forms in the file, so `NAME` there and `NAME_FILE` here is no contradiction.
 */
export class Sources {
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #file: ReadonlyMap<string, string>
  readonly problems: readonly Problem[]

  constructor(
    env: Readonly<Record<string, string | undefined>>,
    configFile?: string,
    sharedFolders: readonly string[] = [],
  ) {
    this.#env = env
    const parsed = configFile === undefined ? NOTHING : load(configFile, sharedFolders)
    this.#file = parsed.values
    this.problems = parsed.problems
  }

  /** The forms in which `name` is given: none, one, or (an operator's mistake) both. */
  values(name: string, withFileForm: boolean): readonly Given[] {
    const names = withFileForm ? [name, `${name}_FILE`] : [name]
    const pick = (read: (name: string) => string | undefined): Given[] =>
      names.flatMap((form) => {
        const text = read(form)
        return text === undefined ? [] : [{ name: form, text }]
      })
    const fromEnv = pick((form) => this.#env[form])
    return fromEnv.length > 0 ? fromEnv : pick((form) => this.#file.get(form))
  }

  /** Every SEALFLEET_ name that is set; those of the test suites don't count. */
  ownNames(): readonly string[] {
    const set = Object.keys(this.#env).filter((name) => this.#env[name] !== undefined)
    const names = new Set([...set, ...this.#file.keys()])
    return [...names].filter((name) => name.startsWith('SEALFLEET_') && !name.startsWith('SEALFLEET_TEST_'))
  }

  /** Names in the file that Node or a driver reads from the real environment, and their replacements. */
  namesWithoutEffect(): readonly { readonly name: string; readonly instead: string }[] {
    return [...this.#file.keys()].flatMap((name) => {
      const instead = WITHOUT_EFFECT.find(([shape]) => shape.test(name))?.[1]
      return instead === undefined ? [] : [{ name, instead }]
    })
  }

  /**
   * The file's other names (a PKCS#11 module's own settings, such as SOFTHSM2_CONF), for the environment of the HSM's
   * agent; a value in the environment wins. SOFTHSM2_CONF is passed on from the environment alone, too.
   */
  passthrough(): Readonly<Record<string, string>> {
    const result: Record<string, string> = {}
    for (const name of new Set([...this.#file.keys(), 'SOFTHSM2_CONF'])) {
      if (name.startsWith('SEALFLEET_')) continue
      const value = this.#env[name] ?? this.#file.get(name)
      if (value !== undefined) result[name] = value
    }
    return result
  }
}

const NOTHING: EnvFile = { values: new Map(), problems: [] }

const OWN_CA = 'use SEALFLEET_DATABASE_TLS_CA_FILE, SEALFLEET_REDIS_TLS_CA_FILE and SEALFLEET_S3_TLS_CA_FILE'
const WITHOUT_EFFECT: readonly (readonly [RegExp, string])[] = [
  [/^(NODE_EXTRA_CA_CERTS|AWS_CA_BUNDLE|SSL_CERT_FILE|SSL_CERT_DIR|PGSSLROOTCERT)$/, OWN_CA],
  [/^NODE_/, 'Node reads it at its start from the environment'],
  [/^PG[A-Z]+$/, 'use SEALFLEET_DATABASE_URL and SEALFLEET_DATABASE_… variables'],
  [/^AWS_/, 'use SEALFLEET_S3_… variables'],
]

function load(file: string, sharedFolders: readonly string[]): EnvFile {
  try {
    const fd = openSync(file, 'r')
    try {
      // It holds secrets, and names a library to load.
      const fault = trustFault(file, fstatSync(fd), 'secret', sharedFolders)
      if (fault !== undefined) return { values: new Map(), problems: [{ variable: file, fault }] }
      return parseEnvFile(readFileSync(fd, 'utf8'), file)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    return { values: new Map(), problems: [{ variable: file, fault: `can't be read (${errnoName(error)})` }] }
  }
}

/** The errno name of a file system error, e.g. ENOENT. */
export function errnoName(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
}
