import type { LoginOutcome, PinIdentity, PinLockout } from '@sealfleet/hsm'
import { getPinLockout, type PinLockoutRow } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'

/**
 * Reads the fleet's PIN lockout and never writes it. A PIN that the fleet has locked out is not tried. A PIN that is
 * rejected here is not tried again by this command, but not locked out for the fleet: a shell may hold another PIN than
 * the workers.
 */
export class ReadOnlyPinLockout implements PinLockout {
  /** The first token that asked (the primary), once one has. */
  seen: PinIdentity | undefined
  /** The fleet's state of this PIN; undefined: none, or it could not be read. */
  known: PinLockoutRow | undefined
  readonly #records: Records | undefined
  /** PINs that were rejected here, by their token. */
  readonly #rejected = new Set<string>()

  constructor(records: Records | undefined) {
    this.#records = records
  }

  async guard(id: PinIdentity, login: () => Promise<LoginOutcome>): Promise<LoginOutcome | 'locked-out'> {
    const name = { tokenSerial: id.serial, pinId: id.pinId }
    const known = this.#records === undefined ? undefined : await getPinLockout(this.#records, name)
    this.seen ??= id
    if (this.seen.serial === id.serial) this.known = known
    const key = `${id.serial} ${id.pinId}`
    if (this.#rejected.has(key) || known?.state === 'rejected') return 'locked-out'
    const outcome = await login()
    if (outcome === 'rejected') this.#rejected.add(key)
    return outcome
  }
}
