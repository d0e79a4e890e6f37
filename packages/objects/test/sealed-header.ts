import { randomBytes, randomUUID } from 'node:crypto'

export interface HeaderInput {
  readonly fileId?: string
  readonly attemptId?: string
  /** A UUID; default: the default domain. */
  readonly domain?: string
  readonly enc?: number
  readonly sig?: number
  /** Detached nonces under this KEK. */
  readonly kek?: number
}

/** An object of one segment whose header says this (docs/design/format.md §4); its tags are made up: no one here opens it. */
export function sealedObject(input: HeaderInput = {}, plaintext = 3): Buffer {
  const object = randomBytes(416 + plaintext + 32)
  object.fill(0, 0, 0x100)
  Buffer.from('89534656310d0a1a', 'hex').copy(object)
  object.writeUInt16BE(1, 0x008)
  object.writeUInt16BE(1, 0x00a)
  object.writeUInt32BE(320, 0x00c)
  uuid(input.fileId ?? randomUUID()).copy(object, 0x010)
  uuid(input.attemptId ?? randomUUID()).copy(object, 0x020)
  object.writeUInt32BE(input.enc ?? 1, 0x030)
  object.writeUInt32BE(input.sig ?? 1, 0x034)
  object.writeUInt32BE(input.kek ?? 0, 0x038)
  object.writeUInt8(20, 0x03c)
  object.writeUInt8(input.kek === undefined ? 0 : 1, 0x03d)
  if (input.kek === undefined) randomBytes(64).copy(object, 0x040)
  randomBytes(32).copy(object, 0x080)
  if (input.domain !== undefined && input.domain !== 'default') uuid(input.domain).copy(object, 0x0a8)
  object.writeUInt32BE(1, 0x0b8)
  return object
}

function uuid(text: string): Buffer {
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}
