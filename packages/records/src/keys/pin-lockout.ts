import { RecordsError } from '../db/errors.js'
import type { Records } from '../db/records.js'
import { getPinLockout, setPinLockout, underLoginLock, type PinName } from './pin-lockout-rows.js'

/** `failed`: the login did not get as far as an answer about the PIN. (As packages/hsm has it.) */
export type LoginOutcome = 'accepted' | 'rejected' | 'failed'

/**
 * The latch that a fleet shares: structurally the PinLockout of packages/hsm. A PIN that the token rejected is tried by
 * no one until `clearPinLockout`; one that was never accepted is tried by one process at a time. Rejects with
 * RecordsError when the database is out of reach: then no one logs in. With a user of the database that only reads (an auditor's) it is
 * asked and not kept: such a user must not be able to latch the fleet's PINs, and each of its processes tries a PIN of its own once.
 * @param setBy who asks, for anyone who looks at a latch later
 */
export function fleetPinLockout(
  records: Records,
  setBy: string,
): {
  guard(
    id: { readonly serial: string; readonly pinId: string },
    login: () => Promise<LoginOutcome>,
  ): Promise<LoginOutcome | 'latched'>
} {
  const attempt = async (name: PinName, login: () => Promise<LoginOutcome>): Promise<LoginOutcome | 'latched'> => {
    if ((await getPinLockout(records, name))?.state === 'rejected') return 'latched'
    const outcome = await login()
    // Written past the lock's transaction, so that its time-out can't take the news of a rejection back.
    if (outcome !== 'failed')
      await unlessReader(
        setPinLockout(records, { ...name, state: outcome === 'accepted' ? 'proven' : 'rejected', setBy }),
      )
    return outcome
  }
  return {
    async guard({ serial, pinId }, login) {
      const name = { tokenSerial: serial, pinId }
      const known = await getPinLockout(records, name)
      if (known?.state === 'rejected') return 'latched'
      if (known?.state === 'proven') return attempt(name, login)
      return underLoginLock(records, name, () => attempt(name, login))
    },
  }
}

/** Lets one refusal pass: that of a user who has no right to write. */
async function unlessReader(writing: Promise<unknown>): Promise<void> {
  try {
    await writing
  } catch (error) {
    if (!(error instanceof RecordsError) || error.sqlState !== '42501') throw error
  }
}
