import { execFile } from 'node:child_process'
import { open, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { tempDir } from './temp-dir.js'

const execute = promisify(execFile)
const SOURCE = fileURLToPath(new URL('../faults/faulty.c', import.meta.url))

/** The fault module's changes to a token's options: the loaded library, and its environment. */
export interface ModuleChoice {
  readonly module: string
  readonly env?: Readonly<Record<string, string>>
}

const MAX_RULES = 64
const COUNTER = 8
const STATE_BYTES = 128 * COUNTER

/** In the order of the list in faulty.c. */
const FUNCTIONS = [
  'C_Initialize',
  'C_Finalize',
  'C_OpenSession',
  'C_CloseSession',
  'C_GetSessionInfo',
  'C_Login',
  'C_Logout',
  'C_FindObjectsInit',
  'C_FindObjects',
  'C_SignInit',
  'C_Sign',
  'C_EncryptInit',
  'C_Encrypt',
  'C_DecryptInit',
  'C_Decrypt',
  'C_GenerateKey',
  'C_GetTokenInfo',
  'C_GetSlotList',
] as const
export type FaultyFunction = (typeof FUNCTIONS)[number]

/** The fault module over a real one: see faulty.c for its rules. */
export class Faulty<T extends ModuleChoice> implements AsyncDisposable {
  readonly #token: T
  readonly #dir: string
  readonly #dispose: () => PromiseLike<void>

  private constructor(token: T, dir: string, dispose: () => PromiseLike<void>) {
    this.#token = token
    this.#dir = dir
    this.#dispose = dispose
  }

  /** Builds the module with gcc and the header of Debian's libp11-kit-dev. */
  static async over<T extends ModuleChoice>(token: T): Promise<Faulty<T>> {
    const directory = await tempDir()
    const faulty = new Faulty(token, directory.path, () => directory[Symbol.asyncDispose]())
    const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror', '-I/usr/include/p11-kit-1']
    await execute('gcc', [...flags, '-o', faulty.#path('faulty.so'), SOURCE, '-ldl', '-lpthread'])
    await writeFile(faulty.#path('state'), Buffer.alloc(STATE_BYTES))
    await faulty.rules()
    return faulty
  }

  get token(): T & Required<ModuleChoice> {
    const faulty = {
      FAULTY_MODULE: this.#token.module,
      FAULTY_RULES: this.#path('rules'),
      FAULTY_STATE: this.#path('state'),
    }
    return { ...this.#token, module: this.#path('faulty.so'), env: { ...this.#token.env, ...faulty } }
  }

  /** The token under another vendor's names. */
  as(names: { readonly manufacturer?: string; readonly library?: string }): T & Required<ModuleChoice> {
    const { token } = this
    const manufacturer = names.manufacturer === undefined ? {} : { FAULTY_MANUFACTURER: names.manufacturer }
    const library = names.library === undefined ? {} : { FAULTY_LIBRARY: names.library }
    return { ...token, env: { ...token.env, ...manufacturer, ...library } }
  }

  /** From the next call on, only these rules apply, with their counts at 0. */
  async rules(...lines: readonly string[]): Promise<void> {
    const rules = this.#path('rules')
    await writeFile(`${rules}.new`, '')
    await rename(`${rules}.new`, rules)
    const state = await open(this.#path('state'), 'r+')
    await state.write(Buffer.alloc(MAX_RULES * COUNTER), 0, MAX_RULES * COUNTER, 0)
    await state.close()
    await writeFile(`${rules}.new`, lines.map((line) => `${line}\n`).join(''))
    await rename(`${rules}.new`, rules)
  }

  /** Number of calls of that function, by all processes together. */
  async calls(fn: FaultyFunction): Promise<number> {
    return Number((await readFile(this.#path('state'))).readBigUInt64LE((MAX_RULES + FUNCTIONS.indexOf(fn)) * COUNTER))
  }

  /** Number of matches of the n-th rule. */
  async hits(rule = 0): Promise<number> {
    return Number((await readFile(this.#path('state'))).readBigUInt64LE(rule * COUNTER))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispose()
  }

  #path(name: string): string {
    return join(this.#dir, name)
  }
}
