import { oneLine } from './text/printable.js'

/** Longest message; a longer text is a dump and not a message. */
const LIMIT = 500

const WORDS = 'password|passwd|passphrase|secret|token|credential|signature|authorization|access_?key|api_?key|nonce'
/** A name that marks its value as secret. Bounded, so that no message makes the search slow. */
const NAME = `(?:\\b[\\w-]{0,32}(?:${WORDS})[\\w-]{0,32}|\\b(?:[\\w-]{0,32}[_-])?(?:pin|pwd|key))`
const VALUE = `(?:"[^"]*"|'[^']*'|[^\\s,;)}\\]]+)`
/** The placeholder of a value in our own advice: `token=LABEL`. */
const PLACEHOLDERS = 'LABEL|NAME|FILE|TEXT|VALUE|PIN|…'
/** Names in program style: sessionToken, SECRET_ACCESS_KEY, x-amz-security-token. */
const COMPOUND = /[a-z][A-Z]|[_-]/
const SECRET_NAME = new RegExp(WORDS, 'i')

type Shape = readonly [shape: RegExp, kept: string | ((...match: string[]) => string)]

/**
 * Patterns of text with secrets, and their replacements; never a word of our own sentences, in which `token`, `key` and
 * `signature` stand before a colon too. Order matters: whole URLs first, bare runs of characters last.
 */
const SHAPES: readonly Shape[] = [
  // user:password@ of a URL, unless it is these very words
  [/\b([a-z][a-z0-9+.-]*:\/\/)(?!user:password@)[^\s/@]*@/gi, '$1[redacted]@'],
  // the query of a presigned URL holds credential and signature
  [/(\bhttps?:\/\/[^\s?"']+)\?[^\s"']*/gi, '$1?[redacted]'],
  [/\bBearer\s+\S+/gi, 'Bearer [redacted]'],
  [/\b(AWS4-HMAC-SHA256)\s.*/gi, '$1 [redacted]'],
  // PEM, as far as the message goes
  [/-----BEGIN [A-Z0-9 ]{1,40}-----[^]*?(?:-----END [A-Z0-9 ]{1,40}-----|$)/g, '[redacted]'],
  // password=…; "pin": …; token:… without a space; secret: "…" in quotes
  [new RegExp(`(${NAME}\\s{0,4}=\\s{0,4})(?!(?:${PLACEHOLDERS})(?![\\w]))${VALUE}`, 'gi'), '$1[redacted]'],
  [new RegExp(`(["']${NAME}["']\\s{0,4}:\\s{0,4})${VALUE}`, 'gi'), '$1[redacted]'],
  [new RegExp(`(${NAME}:)(?=\\S)${VALUE}`, 'gi'), '$1[redacted]'],
  [new RegExp(`(${NAME}:\\s{1,4})(?:"[^"]*"|'[^']*')`, 'gi'), '$1[redacted]'],
  // secretAccessKey: …
  [
    new RegExp(`(?<![\\w-])([A-Za-z][\\w-]{2,47})(:\\s{1,4})${VALUE}`, 'g'),
    (whole, name = '', colon = '') =>
      COMPOUND.test(name) && SECRET_NAME.test(name) ? `${name}${colon}[redacted]` : whole,
  ],
  [/(\b(?:proxy-)?authorization:\s{1,4})\S+/gi, '$1[redacted]'],
  // Never in our sentences after such a word: letters mixed with digits, or digits alone after a PIN.
  [
    /(\b(?:pin|pwd|password|passwd|passphrase|secret|credential|nonce)s?:\s{1,4})(?=[^\s,;)}\]\d]{0,64}\d)(?=[^\s,;)}\]A-Za-z]{0,64}[A-Za-z])[^\s,;)}\]]+/gi,
    '$1[redacted]',
  ],
  [/(\b(?:pin|pwd|password|passwd|passphrase):\s{1,4})\d+(?![^\s,;)}\]])/gi, '$1[redacted]'],
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
 * Makes a message safe for a log: one line, at most 500 characters, without `secrets` (the configured ones, verbatim)
 * and without any text that looks like a secret. It is a second line of defence behind the rule that no secret enters a
 * message, not a replacement for it.
 */
export function scrubText(message: string, secrets: readonly string[] = []): string {
  // A dump may be long; only the part that could be shown is searched.
  let text = message.slice(0, LIMIT * 4)
  for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, '[redacted]')
  for (const [shape, kept] of SHAPES)
    text = typeof kept === 'string' ? text.replace(shape, kept) : text.replace(shape, kept)
  // Line breaks could forge lines; control characters control a terminal.
  text = oneLine(text.trim())
  return text.length > LIMIT ? `${text.slice(0, LIMIT).replace(/[\ud800-\udbff]$/, '')}…` : text
}

/** Whether `scrub` would leave a text unchanged: names and codes are kept whole or not at all. */
export function isHarmless(text: string, secrets: readonly string[] = []): boolean {
  return scrubText(text, secrets) === text
}
