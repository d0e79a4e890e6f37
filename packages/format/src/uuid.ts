/** Ids on the wire are 16 raw bytes; in the API they are lower-case UUIDs with dashes, of any version. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const NIL = '00000000-0000-0000-0000-000000000000'

export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** 16 bytes; throws TypeError unless `text` is a lower-case UUID with dashes. */
export function uuidToBytes(text: string, name = 'id'): Buffer {
  if (typeof text !== 'string' || !isUuid(text)) throw new TypeError(`${name} must be a lower-case UUID with dashes`)
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}

/** The inverse; throws RangeError unless it is given 16 bytes. */
export function uuidFromBytes(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new RangeError(`a UUID has 16 bytes, not ${bytes.length}`)
  const hex = Buffer.from(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** `'default'` is sixteen zero bytes; the nil UUID as a text is refused, so that a domain has only one name. */
export function keyDomainToBytes(domain: string): Buffer {
  if (domain === 'default') return Buffer.alloc(16)
  if (domain === NIL) throw new TypeError("the nil UUID is not a key domain: say 'default'")
  return uuidToBytes(domain, 'key domain')
}

export function keyDomainFromBytes(bytes: Uint8Array): string {
  const uuid = uuidFromBytes(bytes)
  return uuid === NIL ? 'default' : uuid
}
