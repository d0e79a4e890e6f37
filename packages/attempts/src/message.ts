import type { Classified } from '@sealfleet/failures'

/** Our own coded errors have messages for users; for any other error only the code's summary is kept. */
export function messageOf(failed: Classified, error: unknown): string {
  const { from } = failed
  const own = from instanceof Error && 'code' in from && from.code === failed.code
  const text = own ? from.message : failed.failure.summary
  const name = error instanceof Error ? error.name : typeof error
  return (own ? text : `${text} [${name}]`).slice(0, 1000)
}
