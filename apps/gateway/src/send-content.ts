import { classify } from '@sealfleet/failures'
import { appendAudit } from '@sealfleet/records/audit'
import { countFailure } from '@sealfleet/telemetry'
import type { FastifyReply } from 'fastify'
import { setTimeout as delay } from 'node:timers/promises'
import type { Content } from './route.js'
import type { Services } from './services.js'

interface Sending {
  readonly actor: string
  readonly requestId: string
  readonly signal: AbortSignal | undefined
  readonly onSent: (bytes: number) => void
}

/**
 * Writes plaintext to the connection, a segment at a time: the next one is opened when the connection has taken the
 * last, so a slow reader holds a few segments, not a file. When reading fails, the connection is destroyed: the reader
 * has got fewer bytes than `Content-Length` says, which no client takes for the whole.
 *
 * @returns the code of what cut it; undefined when all was sent
 */
export async function sendContent(
  content: Content,
  reply: FastifyReply,
  services: Services,
  { actor, requestId, signal, onSent }: Sending,
): Promise<string | undefined> {
  const { raw } = reply
  reply.hijack()
  raw.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>)
  try {
    for await (const bytes of content.bytes) {
      await written(raw, bytes, services.limits.stallMs, signal)
      onSent(bytes.length)
    }
    raw.end()
    return undefined
  } catch (error) {
    raw.destroy()
    const { fileId } = content
    if (error instanceof Stalled) {
      services.log.warn({ requestId, fileId }, 'a download was cut off: its reader took nothing')
      services.metrics.gatewayCut.inc({ code: 'STALLED' })
      return 'STALLED'
    }
    // The reader has gone: nothing of ours failed.
    if (signal?.aborted === true) return 'CLIENT_GONE'
    const { code, failure } = classify(error)
    services.log.error({ requestId, fileId, code, err: error }, 'a download was cut off: the file cannot be read on')
    services.metrics.gatewayCut.inc({ code })
    countFailure(services.metrics, failure)
    await noted(services, { actor, fileId, code, requestId })
    return code
  } finally {
    content.close()
  }
}

class Stalled extends Error {
  override readonly name = 'Stalled'
}

/** Resolves when the connection has taken the bytes, which are then overwritten. */
async function written(raw: FastifyReply['raw'], bytes: Buffer, stallMs: number, signal: AbortSignal | undefined) {
  const stop = new AbortController()
  const onAbort = (): void => stop.abort()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    const taken = new Promise<void>((resolve, reject) => {
      raw.write(bytes, (error) => (error == null ? resolve() : reject(error)))
    })
    const late = delay(stallMs, undefined, { signal: stop.signal, ref: false }).then(
      () => {
        throw new Stalled(`nothing was taken for ${stallMs} ms`)
      },
      () => {
        // A reader that went away may leave its write unanswered.
        if (signal?.aborted === true) throw signal.reason
        return new Promise<never>(() => undefined)
      },
    )
    await Promise.race([taken, late])
  } finally {
    stop.abort()
    signal?.removeEventListener('abort', onAbort)
    bytes.fill(0)
  }
}

/** That a stored file could not be read is an event of its history; a database that is out has its own alarm. */
async function noted(
  { records, log }: Services,
  {
    actor,
    fileId,
    code,
    requestId,
  }: { readonly actor: string; readonly fileId: string; readonly code: string; readonly requestId: string },
): Promise<void> {
  try {
    const subject = { subjectKind: 'file', subjectId: fileId }
    await appendAudit(records, { actor, action: 'files.read-failed', ...subject, detail: { code, requestId } })
  } catch (error) {
    log.warn({ requestId, fileId, code: classify(error).code, err: error }, 'a cut download could not be recorded')
  }
}
