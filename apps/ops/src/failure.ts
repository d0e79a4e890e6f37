import type { Logger } from '@sealfleet/telemetry'

/** The browser learns only that an error occurred. The cause is in the log; no response has a stack or a path. */
export function answerTo(error: unknown, log: Logger): { readonly status: 400 | 500; readonly message: string } {
  const { status } = (typeof error === 'object' && error !== null ? error : {}) as { readonly status?: unknown }
  // Express's status for a request that it cannot parse.
  if (typeof status === 'number' && status >= 400 && status < 500)
    return { status: 400, message: 'this request cannot be read' }
  log.error({ err: error }, 'a request failed')
  return { status: 500, message: 'failed; the log says why' }
}
