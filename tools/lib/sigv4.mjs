/**
 * The server's side of AWS Signature Version 4 in the Authorization header, for one key pair: s3rver itself accepts any
 * secret, and unsigned requests. Presigned URLs are refused. The signature covers the body only through
 * x-amz-content-sha256; whether the body has that hash is not checked, and not promised here.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** @typedef {{ accessKeyId: string, secretAccessKey: string }} KeyPair */
/** @typedef {{ method?: string | undefined, url?: string | undefined, headers: import('node:http').IncomingHttpHeaders }} Request */

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/

/**
 * @param {Request} request
 * @param {KeyPair} pair
 * @returns {{ code: string, message: string } | undefined} why it is refused, as S3 says it; undefined when it is signed right
 */
export function refusalOf(request, pair) {
  const { headers } = request
  const given = headers.authorization
  if (given === undefined) return { code: 'AccessDenied', message: 'Access Denied: the request is not signed.' }
  const [, keyId, day = '', region = '', signed = '', signature = ''] = AUTHORIZATION.exec(given) ?? []
  const time = headers['x-amz-date']
  const hash = headers['x-amz-content-sha256']
  if (keyId === undefined || typeof time !== 'string' || !time.startsWith(day) || typeof hash !== 'string') {
    return { code: 'AccessDenied', message: 'Access Denied: it wants a header of Signature Version 4.' }
  }
  if (keyId !== pair.accessKeyId) {
    return { code: 'InvalidAccessKeyId', message: 'The access key id you provided does not exist in our records.' }
  }
  // Unsigned headers could be changed in transit: the host and all headers that S3 acts on must be signed.
  const names = signed.split(';')
  const unsigned = Object.keys(headers).find((name) => name.startsWith('x-amz-') && !names.includes(name))
  const canonical = [
    request.method,
    (request.url ?? '/').replace(/\?.*$/s, ''),
    canonicalQuery(request.url ?? '/'),
    ...names.map(
      (name) =>
        `${name}:${String(headers[name] ?? '')
          .trim()
          .replace(/ +/g, ' ')}`,
    ),
    '',
    signed,
    hash,
  ].join('\n')
  const scope = `${day}/${region}/s3/aws4_request`
  const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n')
  let key = hmac(`AWS4${pair.secretAccessKey}`, day)
  for (const part of [region, 's3', 'aws4_request']) key = hmac(key, part)
  if (
    unsigned === undefined &&
    names.includes('host') &&
    timingSafeEqual(hmac(key, text), Buffer.from(signature, 'hex'))
  )
    return undefined
  return {
    code: 'SignatureDoesNotMatch',
    message: 'The request signature we calculated does not match the one you provided. Check your secret access key.',
  }
}

/** @param {string | Buffer} key @param {string} text */
function hmac(key, text) {
  return createHmac('sha256', key).update(text).digest()
}

/** Names and values in their one encoding, sorted. @param {string} url */
function canonicalQuery(url) {
  const at = url.indexOf('?')
  if (at === -1) return ''
  const encode = (/** @type {string} */ text) =>
    encodeURIComponent(decodeURIComponent(text)).replace(
      /[!'()*]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
    )
  return url
    .slice(at + 1)
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=')
      return equals === -1 ? `${encode(part)}=` : `${encode(part.slice(0, equals))}=${encode(part.slice(equals + 1))}`
    })
    .sort()
    .join('&')
}
