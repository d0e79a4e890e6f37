import type { Logger } from '@sealfleet/telemetry'

/** What the browser learns of an error: that there was one. What failed is in the log; no answer has a stack or a path. */
export function answerTo(error: unknown, log: Logger): { readonly status: 400 | 500; readonly message: string } {
  const { status } = (typeof error === 'object' && error !== null ? error : {}) as { readonly status?: unknown }
  // Express says so of a request that it can't read.
  if (typeof status === 'number' && status >= 400 && status < 500)
    return { status: 400, message: 'this request cannot be read' }
  log.error({ err: error }, 'a request failed')
  return { status: 500, message: 'failed; the log says why' }
}
