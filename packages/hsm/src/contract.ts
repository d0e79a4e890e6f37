/** What `@sealfleet/format` asks of a key provider, in one place for the rest of this package. */
export { isWellFormedDerivation, KNOWN_ANSWER_LENGTH } from '@sealfleet/format'
export type { KeyDeriver, MasterKeyRef, NonceWrapper, Role, Suite } from '@sealfleet/format'

/** A key encryption key; its role and suite go without saying. */
export interface KekRef {
  readonly domain: string
  readonly version: number
}
