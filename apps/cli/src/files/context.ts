import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { usageError } from '../cli-error.js'
import { unreadable } from '../commands/operators/small-file.js'

/** FORMAT §5: the bytes a caller binds to a file. */
const MAX_CONTEXT = 1024

export interface ContextOptions {
  readonly context?: string
  readonly contextHex?: string
  readonly contextFile?: string
}

/**
 * The context that the options give, undefined when none does. Throws a usage error for two of them, for hexadecimal
 * that isn't, and for more than 1,024 bytes.
 */
export async function readContext(o: ContextOptions, cwd: string): Promise<Buffer | undefined> {
  const given = [o.context, o.contextHex, o.contextFile].filter((value) => value !== undefined)
  if (given.length > 1) throw usageError('give one of --context, --context-hex and --context-file')
  let bytes: Buffer | undefined
  if (o.context !== undefined) bytes = Buffer.from(o.context, 'utf8')
  if (o.contextHex !== undefined) bytes = fromHex(o.contextHex)
  if (o.contextFile !== undefined) bytes = await bytesOf(path.resolve(cwd, o.contextFile))
  if (bytes && bytes.length > MAX_CONTEXT) {
    throw usageError(`the context has ${bytes.length} bytes; the maximum is ${MAX_CONTEXT}`)
  }
  return bytes
}

async function bytesOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw unreadable(file, error)
  }
}

function fromHex(text: string): Buffer {
  if (!/^([0-9a-fA-F]{2})*$/.test(text)) {
    throw usageError('--context-hex needs pairs of hexadecimal digits', "an empty context is --context ''")
  }
  return Buffer.from(text, 'hex')
}
