import type { LoginOutcome, PinIdentity, PinLockout } from '@sealfleet/hsm'
import { getPinLockout, type PinLockoutRow } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'

/**
 * A latch for trying things out: looks at the fleet's and never writes it. A PIN that the fleet has latched is not tried; one
 * that is rejected here is not tried again by this command, and latches no one, since a person's shell may hold another PIN
 * than the workers.
 */
export class ReadOnlyPinLockout implements PinLockout {
  /** The token that asked, once one has. */
  seen: PinIdentity | undefined
  /** What the fleet remembers of this PIN; undefined: nothing, or it could not be asked. */
  known: PinLockoutRow | undefined
  readonly #records: Records | undefined
  #rejected = false

  constructor(records: Records | undefined) {
    this.#records = records
  }

  async guard(id: PinIdentity, login: () => Promise<LoginOutcome>): Promise<LoginOutcome | 'latched'> {
    this.seen = id
    if (this.#records !== undefined) {
      this.known = await getPinLockout(this.#records, { tokenSerial: id.serial, pinId: id.pinId })
    }
    if (this.#rejected || this.known?.state === 'rejected') return 'latched'
    const outcome = await login()
    this.#rejected = outcome === 'rejected'
    return outcome
  }
}
