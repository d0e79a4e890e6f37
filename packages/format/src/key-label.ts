import type { MasterKeyRef, Role, Suite } from './terms.js'

/**
 * Names of master keys in the token (docs/design/format.md). An object can be opened with the HSM alone because its header
 * gives all parts of the name:
 *
 * - `sealfleet/<domain>/<role>/s<suite>/<version>` for roles enc and sig
 * - `sealfleet/<domain>/kek/<version>`
 * - `sealfleet/audit/<version>`
 */
const DOMAIN = /^(?:default|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/
const VERSION = '([1-9][0-9]{0,9})'
const SIGNING = new RegExp(`^sealfleet/([^/]+)/(enc|sig)/s([12])/${VERSION}$`)
const KEK = new RegExp(`^sealfleet/([^/]+)/kek/${VERSION}$`)
const AUDIT = new RegExp(`^sealfleet/audit/${VERSION}$`)
const MAX_VERSION = 0xffff_ffff

/** Throws TypeError when a part is outside its range: no unchecked text ever becomes a search in the token. */
export function keyLabel(ref: MasterKeyRef): string {
  if (!Number.isInteger(ref.version) || ref.version < 1 || ref.version > MAX_VERSION) {
    throw new TypeError(`a key version is an integer from 1 to 2^32-1, not ${String(ref.version)}`)
  }
  if (ref.role === 'audit') return `sealfleet/audit/${ref.version}`
  if (!DOMAIN.test(ref.domain)) throw new TypeError('a key domain is "default" or a lower-case UUID')
  if (ref.role === 'kek') return `sealfleet/${ref.domain}/kek/${ref.version}`
  const role: unknown = ref.role
  const suite: unknown = ref.suite
  if (role !== 'enc' && role !== 'sig') throw new TypeError(`unknown key role ${String(role)}`)
  if (suite !== 1 && suite !== 2) throw new TypeError(`unknown suite ${String(suite)}`)
  return `sealfleet/${ref.domain}/${role}/s${suite}/${ref.version}`
}

/** The inverse of {@link keyLabel}; null for any label that is not exactly one of ours. */
export function parseKeyLabel(label: string): MasterKeyRef | null {
  const ref = parseParts(label)
  return ref !== null && ref.version <= MAX_VERSION && (ref.role === 'audit' || DOMAIN.test(ref.domain)) ? ref : null
}

function parseParts(label: string): MasterKeyRef | null {
  const signing = SIGNING.exec(label)
  if (signing !== null) {
    const [, domain = '', role, suite, version] = signing
    return { role: role as Role, domain, suite: Number(suite) as Suite, version: Number(version) }
  }
  const kek = KEK.exec(label)
  if (kek !== null) return { role: 'kek', domain: kek[1] ?? '', suite: 1, version: Number(kek[2]) }
  const audit = AUDIT.exec(label)
  if (audit !== null) return { role: 'audit', domain: 'default', suite: 1, version: Number(audit[1]) }
  return null
}
