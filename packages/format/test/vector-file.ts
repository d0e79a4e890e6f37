/** ObjectReader vector files (test/vectors/README.md has their schema), strictly: a mistake in a file must not pass as a test. */
import { hex } from './bytes.js'

/** What is wrong with a file, in a sentence; never a stack trace's business. */
export class VectorFileError extends Error {
  override readonly name = 'VectorFileError'
}

/** Values a vector may expect: hex of bytes, or numbers. */
export const EXPECTED_BYTES = [
  'dk',
  'aes_key',
  'iv',
  'k_sig',
  'kc',
  'htag',
  'first_tag',
  'tags_digest',
  'fmac',
  'object_sha256',
] as const
export const EXPECTED_NUMBERS = ['n', 'object_len'] as const

export type Observed = Record<(typeof EXPECTED_BYTES)[number], string> &
  Record<(typeof EXPECTED_NUMBERS)[number], number>

export interface Vector {
  readonly name: string
  readonly suite: 1 | 2
  readonly plaintextLength: number
  /** `null` for the pattern. */
  readonly plaintext: Buffer | null
  readonly masterEnc: Buffer
  readonly masterSig: Buffer
  /** Hex of 16 bytes. */
  readonly fileId: Buffer
  readonly attemptId: Buffer
  readonly keyDomain: Buffer
  readonly encKeyVersion: number
  readonly sigKeyVersion: number
  readonly kekVersion: number
  readonly segLog2: number
  readonly flags: number
  readonly nonceEnc: Buffer
  readonly nonceSig: Buffer
  readonly context: Buffer
  readonly createdMs: number
  readonly mockEncOutput: Buffer | undefined
  readonly expected: Partial<Observed>
}

type Json = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Fields of one vector, laid over the inputs that all share. */
class Fields {
  readonly #where: string
  readonly #values: Json

  constructor(where: string, values: Json) {
    this.#where = where
    this.#values = values
  }

  has(key: string): boolean {
    return this.#values[key] !== undefined && this.#values[key] !== null
  }

  fail(key: string, wanted: string): never {
    throw new VectorFileError(`${this.#where}: "${key}" must be ${wanted}`)
  }

  text(key: string): string {
    const value = this.#values[key]
    return typeof value === 'string' ? value : this.fail(key, 'a string')
  }

  bytes(key: string, length?: number): Buffer {
    const value = this.#values[key]
    const wanted = length === undefined ? 'hex' : `hex of ${length} bytes`
    if (typeof value !== 'string' || !/^([0-9a-f]{2})*$/i.test(value)) return this.fail(key, wanted)
    if (length !== undefined && value.length !== 2 * length) return this.fail(key, wanted)
    return hex(value)
  }

  integer(key: string): number {
    const value = this.#values[key]
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      return this.fail(key, 'a whole number ≥ 0')
    }
    return value
  }
}

function parseExpected(fields: Fields): Partial<Observed> {
  const expected: Partial<Observed> = {}
  for (const key of EXPECTED_BYTES) if (fields.has(key)) expected[key] = fields.bytes(key).toString('hex')
  for (const key of EXPECTED_NUMBERS) if (fields.has(key)) expected[key] = fields.integer(key)
  return expected
}

function parseVector(inputs: Json, value: unknown, position: number): Vector {
  if (!isObject(value)) throw new VectorFileError(`vector ${position} must be an object`)
  const name = typeof value.name === 'string' && value.name !== '' ? value.name : `#${position}`
  const fields = new Fields(name, { ...inputs, ...value })
  const suite = fields.integer('suite')
  if (suite !== 1 && suite !== 2) return fields.fail('suite', '1 or 2')
  const plaintextLength = fields.integer('pt_len')
  const plaintext = fields.text('pt') === 'pat' ? null : fields.bytes('pt', plaintextLength)
  return {
    name,
    suite,
    plaintextLength,
    plaintext,
    masterEnc: fields.bytes('m_enc'),
    masterSig: fields.bytes('m_sig'),
    fileId: fields.bytes('fid', 16),
    attemptId: fields.bytes('aid', 16),
    keyDomain: fields.bytes('dom', 16),
    encKeyVersion: fields.integer('ev'),
    sigKeyVersion: fields.integer('sv'),
    kekVersion: fields.integer('kek'),
    segLog2: fields.integer('segl2'),
    flags: fields.integer('flags'),
    nonceEnc: fields.bytes('ne', 32),
    nonceSig: fields.bytes('ns', 32),
    context: fields.bytes('ctx'),
    createdMs: fields.integer('ts'),
    mockEncOutput: fields.has('mock_hsm_enc_output') ? fields.bytes('mock_hsm_enc_output', 32) : undefined,
    expected: parseExpected(fields),
  }
}

/** All vectors of a file's text. Throws VectorFileError with what is wrong and where. */
export function parseVectorFile(text: string): Vector[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new VectorFileError('it is not JSON', { cause })
  }
  if (!isObject(json)) throw new VectorFileError('it must hold one object')
  if (!isObject(json.inputs)) throw new VectorFileError('"inputs" must be an object')
  if (!Array.isArray(json.vectors)) throw new VectorFileError('"vectors" must be an array')
  if (json.vectors.length === 0) throw new VectorFileError('"vectors" is empty')
  const { inputs } = json
  return json.vectors.map((vector: unknown, i) => parseVector(inputs, vector, i + 1))
}
