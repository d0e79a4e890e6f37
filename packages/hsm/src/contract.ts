/** The key provider's types of `@sealfleet/format`, in one place for the rest of this package. */
export { isWellFormedDerivation, KNOWN_ANSWER_LENGTH } from '@sealfleet/format'
export type { KeyDeriver, MasterKeyRef, NonceWrapper, Role, Suite } from '@sealfleet/format'

/** A key encryption key; its role and suite are implied. */
export interface KekRef {
  readonly domain: string
  readonly version: number
}
