/**
 * `@sealfleet/client/webhooks`: signatures of webhooks after Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). The signature and its
 * check stand here together.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { SealfleetError } from './sealfleet-error.js'

export { SealfleetError } from './sealfleet-error.js'

/** Seconds by which the time of a webhook may differ from this machine's: older ones may be replays. */
const TOLERANCE_S = 300
/** Bytes of a secret by the specification. */
const [LEAST, MOST] = [24, 64]

/** Headers of a request: of `fetch`, or of `node:http`. */
export type WebhookHeaders = Pick<Headers, 'get'> | Readonly<Record<string, string | readonly string[] | undefined>>

export interface VerifyOptions {
  /** seconds since 1970; default: now */
  readonly nowSeconds?: number | undefined
  /** seconds; default 300 */
  readonly toleranceSeconds?: number | undefined
}

/** A webhook whose signature is right. */
export interface VerifiedWebhook {
  /** the same for each delivery of one event: keep it to notice repetitions */
  readonly id: string
  readonly sentAt: Date
}

/**
 * Checks a webhook before its body is believed. Several secrets: any of them, while one takes the place of another.
 *
 * @param body the bytes as they came, before any JSON is read from them
 * @param secrets `whsec_` and 24 to 64 bytes in base64
 * @throws {SealfleetError} WEBHOOK_INVALID: a header is missing, the time is too far away, or no signature is right;
 * CONFIG_INVALID: a secret of another form
 */
export function verifyWebhook(
  body: string | Uint8Array,
  headers: WebhookHeaders,
  secrets: string | readonly string[],
  { nowSeconds = Date.now() / 1_000, toleranceSeconds = TOLERANCE_S }: VerifyOptions = {},
): VerifiedWebhook {
  const id = headerOf(headers, 'webhook-id')
  const timestamp = headerOf(headers, 'webhook-timestamp')
  const signatures = headerOf(headers, 'webhook-signature')
  if (!/^\d{1,12}$/.test(timestamp)) throw invalid('webhook-timestamp is no number of seconds')
  const sent = Number(timestamp)
  if (Math.abs(nowSeconds - sent) > toleranceSeconds) throw invalid('webhook-timestamp is too far from this clock')
  const given = signatures.split(' ').flatMap((one) => (one.startsWith('v1,') ? [Buffer.from(one.slice(3))] : []))
  const keys = typeof secrets === 'string' ? [secrets] : secrets
  const right = keys.some((secret) => {
    const wanted = Buffer.from(signWebhook(body, { id, timestamp: sent }, secret).slice(3))
    return given.some((one) => one.length === wanted.length && timingSafeEqual(one, wanted))
  })
  if (!right) throw invalid('no signature is right')
  return { id, sentAt: new Date(sent * 1_000) }
}

/**
 * The signature of a webhook: `v1,` and the HMAC-SHA-256 of `id.timestamp.body` in base64.
 *
 * @param message.timestamp whole seconds since 1970
 * @throws {SealfleetError} CONFIG_INVALID for a secret of another form
 */
export function signWebhook(
  body: string | Uint8Array,
  { id, timestamp }: { readonly id: string; readonly timestamp: number },
  secret: string,
): string {
  return `v1,${createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.`).update(body).digest('base64')}`
}

function keyOf(secret: string): Buffer {
  const text = secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : ''
  const key = Buffer.from(text, 'base64')
  if (key.length >= LEAST && key.length <= MOST && key.toString('base64') === text) return key
  throw new SealfleetError('CONFIG_INVALID', 'a webhook secret has another form', {
    fix: 'Give the whole secret: whsec_ and base64 of 24 to 64 bytes.',
  })
}

function headerOf(headers: WebhookHeaders, name: string): string {
  const value = isFetchHeaders(headers)
    ? headers.get(name)
    : Object.entries(headers).find(([given]) => given.toLowerCase() === name)?.[1]
  if (typeof value === 'string' && value !== '') return value
  throw invalid(`${name} is missing`)
}

function isFetchHeaders(headers: WebhookHeaders): headers is Pick<Headers, 'get'> {
  return typeof headers.get === 'function'
}

function invalid(detail: string): SealfleetError {
  return new SealfleetError('WEBHOOK_INVALID', detail, { fix: 'Answer with status 401, and do not act on it.' })
}
