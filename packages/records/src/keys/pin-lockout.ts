import { RecordsError } from '../db/errors.js'
import type { Records } from '../db/records.js'
import { getPinLockout, setPinLockout, underLoginLock, type PinName } from './pin-lockout-rows.js'

/** `failed`: the login ended without an answer about the PIN. (As in packages/hsm.) */
type LoginOutcome = 'accepted' | 'rejected' | 'failed'

/**
 * The fleet's shared PIN lock-out: structurally the PinLockout of packages/hsm. A PIN that the token rejected is not
 * tried by any process until `clearPinLockout`; one that was never accepted is tried by one process at a time. Rejects
 * with RecordsError when the database cannot be reached: then no process logs in. A database user that only reads (an
 * auditor's) reads the state and does not write it: such a user must not be able to lock the fleet's PINs, and each of
 * its processes tries its own PIN once.
 * @param setBy the process, shown with the lock-out later
 */
export function fleetPinLockout(
  records: Records,
  setBy: string,
): {
  guard(
    id: { readonly serial: string; readonly pinId: string },
    login: () => Promise<LoginOutcome>,
  ): Promise<LoginOutcome | 'locked-out'>
} {
  const attempt = async (name: PinName, login: () => Promise<LoginOutcome>): Promise<LoginOutcome | 'locked-out'> => {
    if ((await getPinLockout(records, name))?.state === 'rejected') return 'locked-out'
    const outcome = await login()
    // Written outside the lock's transaction, so that its time-out cannot undo the record of a rejection.
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
      if (known?.state === 'rejected') return 'locked-out'
      if (known?.state === 'proven') return attempt(name, login)
      return underLoginLock(records, name, () => attempt(name, login))
    },
  }
}

/** Ignores one refusal: that of a user without the right to write. */
async function unlessReader(writing: Promise<unknown>): Promise<void> {
  try {
    await writing
  } catch (error) {
    if (!(error instanceof RecordsError) || error.sqlState !== '42501') throw error
  }
}
