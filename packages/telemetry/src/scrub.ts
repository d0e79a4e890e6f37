/** A message is cut here: what is longer is a dump and not a message. */
const LIMIT = 500

/** Shapes that may carry a secret, and what stays of them. Order matters: whole URLs first, bare runs of characters last. */
const SHAPES: readonly (readonly [RegExp, string])[] = [
  // user:password@ of a URL
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1[redacted]@'],
  // the query of a presigned URL holds credential and signature
  [/(\bhttps?:\/\/[^\s?"']+)\?[^\s"']*/gi, '$1?[redacted]'],
  [/\bBearer\s+\S+/gi, 'Bearer [redacted]'],
  [/\b(AWS4-HMAC-SHA256)\s.*/gi, '$1 [redacted]'],
  // password=…, "sessionToken": "…", SECRET_ACCESS_KEY …; bounded, so that no message makes the search slow
  [
    /(["']?\b[\w-]{0,32}(?:password|passwd|secret|token|credential|signature|authorization|access_?key|api_?key|nonce)[\w-]{0,32}["']?\s{0,4}[=:]\s{0,4})("[^"]*"|'[^']*'|[^\s,;)}\]]+)/gi,
    '$1[redacted]',
  ],
  [
    /(["']?\b(?:[\w-]{0,32}[_-])?(?:pin|pwd|key)["']?\s{0,4}[=:]\s{0,4})("[^"]*"|'[^']*'|[^\s,;)}\]]+)/gi,
    '$1[redacted]',
  ],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/g, '[redacted]'],
  // 16 bytes and more in hexadecimal; UUIDs have dashes and stay
  [/\b(?:0x)?[0-9a-f]{32,}\b/gi, '[redacted]'],
  // <Buffer 0a 1b …> and the like
  [/(?:\b[0-9a-f]{2}[ ,:]+){7,}[0-9a-f]{2}\b/gi, '[redacted]'],
  // lists of bytes
  [/(?:\b\d{1,3}\s*,\s*){7,}\d{1,3}\b/g, '[redacted]'],
  // base64 of 18 bytes and more that has a digit and both cases: neither a word nor a path of words
  [
    /(?<![A-Za-z0-9+/_-])(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])[A-Za-z0-9+/_-]{24,}={0,2}/g,
    '[redacted]',
  ],
  // and of 30 bytes and more without a digit
  [/(?<![A-Za-z0-9+/_-])(?=[A-Za-z+/_-]*[a-z])(?=[A-Za-z+/_-]*[A-Z])[A-Za-z+/_-]{40,}={0,2}/g, '[redacted]'],
]

/**
 * A message made fit for a log: one line, at most 500 characters, without `secrets` (the configured ones, as they
 * stand) and without anything of a shape that secrets have. It is a net below the rule that no secret enters a
 * message, not a replacement for it.
 */
export function scrub(message: string, secrets: readonly string[] = []): string {
  // A dump may be long; the shapes are only looked for in what could be shown.
  let text = message.slice(0, LIMIT * 4)
  for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, '[redacted]')
  for (const [shape, kept] of SHAPES) text = text.replace(shape, kept)
  // Control characters could forge lines or talk to a terminal.
  text = text.replace(/[\p{Cc}\p{Cs}\u2028\u2029]+/gu, ' ').trim()
  return text.length > LIMIT ? `${text.slice(0, LIMIT)}…` : text
}

/** Whether a text has nothing that `scrub` would take out: names and codes are kept whole or not at all. */
export function isHarmless(text: string, secrets: readonly string[] = []): boolean {
  return scrub(text, secrets) === text
}
