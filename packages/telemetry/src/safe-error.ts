import { isHarmless, scrubText } from './scrub.js'

/** Everything that a log, a dead letter or a job's `failedReason` may contain of an error. */
export interface SafeError {
  /** the failure's code, or `UNCLASSIFIED` */
  readonly code: string
  /** the failure's class, when the caller knows it */
  readonly class?: string
  /** name of the error's class, e.g. `StoreError` */
  readonly name?: string
  readonly message: string
  /** PKCS#11 return value */
  readonly ckr?: number
  readonly httpStatus?: number
  readonly sqlState?: string
  /** operating system's error name, e.g. ECONNREFUSED */
  readonly errno?: string
  /** codes (else names) of causes and of an AggregateError's errors, nearest first */
  readonly causeCodes?: readonly string[]
}

export interface SafeErrorOptions {
  /** the error's place in the closed list, found by a classifier */
  readonly code?: string
  readonly class?: string
  /** values that must not appear, whatever their form */
  readonly secrets?: readonly string[]
}

const CAUSE_LIMIT = 8
const TOKEN = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/
const CODE = /^[A-Z][A-Z0-9_]{1,63}$/

type Node = Readonly<Record<string, unknown>>

/**
 * Keeps the harmless parts of an error: codes, numbers, names, and the scrubbed message. Stacks, causes' messages and
 * every other property (an SDK's request and response, a driver's query and its parameters) are dropped. Takes any
 * thrown value; never throws.
 */
export function safeError(error: unknown, options: SafeErrorOptions = {}): SafeError {
  const chain = walk(error)
  const [first] = chain
  const { secrets } = options
  const word = (value: unknown, shape: RegExp): string | undefined => {
    const text = token(value, shape)
    return text !== undefined && isHarmless(text, secrets) ? text : undefined
  }
  const property = (name: string): unknown => (first === undefined ? undefined : read(first, name))
  const causes = causeCodes(chain).filter((code) => isHarmless(code, secrets))
  return defined({
    code: word(options.code, CODE) ?? word(property('code'), CODE) ?? 'UNCLASSIFIED',
    class: word(options.class, TOKEN) ?? word(property('class'), TOKEN),
    name: word(property('name'), TOKEN),
    message: scrubText(messageOf(error, first), secrets),
    ckr: find(chain, ckrOf),
    httpStatus: find(chain, httpStatusOf),
    sqlState: find(chain, sqlStateOf),
    errno: find(chain, errnoOf),
    causeCodes: causes.length > 0 ? causes : undefined,
  })
}

function messageOf(error: unknown, node: Node | undefined): string {
  if (typeof error === 'string') return error
  const message = node === undefined ? undefined : read(node, 'message')
  return typeof message === 'string' ? message : 'no message'
}

function walk(error: unknown): readonly Node[] {
  const chain: Node[] = []
  const queue: unknown[] = [error]
  while (queue.length > 0 && chain.length <= CAUSE_LIMIT) {
    const next = queue.shift()
    if (typeof next !== 'object' || next === null || chain.includes(next as Node)) continue
    chain.push(next as Node)
    queue.push(read(next as Node, 'cause'))
    const errors = read(next as Node, 'errors')
    if (Array.isArray(errors)) queue.push(...(errors as unknown[]).slice(0, CAUSE_LIMIT))
  }
  return chain
}

/** A throwing getter of a hostile or broken error must not break the log. */
function read(node: Node, property: string): unknown {
  try {
    return node[property]
  } catch {
    return undefined
  }
}

function token(value: unknown, shape: RegExp): string | undefined {
  return typeof value === 'string' && shape.test(value) ? value : undefined
}

function causeCodes([, ...causes]: readonly Node[]): readonly string[] {
  return causes.flatMap((cause) => {
    const ckr = ckrOf(cause)
    const code =
      token(read(cause, 'code'), CODE) ??
      sqlStateOf(cause) ??
      (ckr === undefined ? undefined : `CKR_0x${ckr.toString(16)}`)
    const name = code ?? token(read(cause, 'name'), TOKEN)
    return name === undefined ? [] : [name]
  })
}

function ckrOf(node: Node): number | undefined {
  const ckr = read(node, 'ckr')
  if (typeof ckr === 'number') return ckr
  const code = read(node, 'code')
  return read(node, 'name') === 'Pkcs11Error' && typeof code === 'number' ? code : undefined
}

function httpStatusOf(node: Node): number | undefined {
  const metadata = read(node, '$metadata')
  const nested =
    typeof metadata === 'object' && metadata !== null ? read(metadata as Node, 'httpStatusCode') : undefined
  const status = read(node, 'httpStatus') ?? nested
  return typeof status === 'number' && Number.isInteger(status) ? status : undefined
}

function sqlStateOf(node: Node): string | undefined {
  const own = token(read(node, 'sqlState'), /^[0-9A-Z]{5}$/) ?? token(read(node, 'originalCode'), /^[0-9A-Z]{5}$/)
  if (own !== undefined) return own
  return typeof read(node, 'severity') === 'string' ? token(read(node, 'code'), /^[0-9A-Z]{5}$/) : undefined
}

function errnoOf(node: Node): string | undefined {
  return typeof read(node, 'syscall') === 'string' ? token(read(node, 'code'), /^E[A-Z0-9_]{2,30}$/) : undefined
}

function find<T>(chain: readonly Node[], of: (node: Node) => T | undefined): T | undefined {
  for (const node of chain) {
    const value = of(node)
    if (value !== undefined) return value
  }
  return undefined
}

function defined(fields: { readonly [K in keyof SafeError]-?: SafeError[K] | undefined }): SafeError {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as unknown as SafeError
}
