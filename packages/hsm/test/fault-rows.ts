import type { PoolOptions } from '../src/options.js'
import type { RestartReason } from '../src/events.js'

/**
 * What goes wrong once, under 16 operations, and how it ends: every operation is answered rightly, and healing takes exactly
 * these restarts of agents and calls of C_Login. The damage is real where a rule says so (C_Logout, C_CloseAllSessions,
 * C_Finalize). Faults with a longer story have tests of their own; docs/design/hsm-faults.md names the test of each.
 */
export interface Row {
  readonly fault: string
  readonly rule: string
  readonly restarts?: Readonly<Partial<Record<RestartReason, number>>>
  readonly logins?: number
  /** Sessions lost for good, until their agent is replaced. */
  readonly hung?: number
  readonly options?: Partial<PoolOptions>
}

export const FAULT_ROWS: readonly Row[] = [
  { fault: 'DEVICE_ERROR once', rule: 'C_Sign return 0x30 count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'FUNCTION_FAILED twice', rule: 'C_Sign return 0x06 count=2' },
  { fault: 'GENERAL_ERROR once', rule: 'C_Sign return 0x05 count=1' },
  { fault: 'SESSION_HANDLE_INVALID once', rule: 'C_SignInit return 0xb3 count=1' },
  { fault: 'a stale key handle', rule: 'C_SignInit return 0x82 count=1' },
  { fault: 'login lost', rule: 'C_SignInit logout count=1', logins: 1 },
  { fault: 'all sessions closed', rule: 'C_SignInit closeall count=1', logins: 1 },
  { fault: 'module finalized', rule: 'C_SignInit finalize count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'module aborts', rule: 'C_Sign abort count=1', restarts: { died: 1 }, logins: 1 },
  { fault: 'C_Sign hangs once', rule: 'C_Sign hang count=1', hung: 1, options: { hardTimeoutMs: 2_000 } },
  {
    fault: 'C_SignInit hangs, which blocks the agent’s loop',
    rule: 'C_SignInit hang count=1',
    restarts: { silent: 1 },
    logins: 1,
    options: { hardTimeoutMs: 60_000 },
  },
  { fault: '800 ms on 30 % of the calls', rule: 'C_Sign delay 800 percent=30' },
  { fault: 'an HMAC of 0 bytes', rule: 'C_Sign length 0 count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'an HMAC of 31 bytes', rule: 'C_Sign length 31 count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'an HMAC of 33 bytes', rule: 'C_Sign length 33 count=1', restarts: { error: 1 }, logins: 1 },
]
