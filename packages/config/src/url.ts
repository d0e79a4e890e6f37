import { z } from 'zod'

/**
 * The URL of a service. The messages never repeat the text (it holds a password), so they say which part is wrong.
 * `path` names what must follow the host, for services that need it.
 */
export function serviceUrl(protocols: readonly string[], needs: { path?: string } = {}): z.ZodType<string, string> {
  return z.string().superRefine((value, context) => {
    const wrong = (message: string): void => context.addIssue({ code: 'custom', message })
    if (!URL.canParse(value)) return wrong('is not a URL (special characters of a password are written as %XX)')
    const url = new URL(value)
    if (!protocols.includes(url.protocol)) return wrong(`does not begin with ${protocols.join('// or ')}//`)
    if (url.hostname === '' && !url.searchParams.has('host')) return wrong('names no host')
    if (needs.path !== undefined && url.pathname.length < 2) return wrong(`names no ${needs.path}`)
  })
}

/**
 * The URL of a Redis. The scheme is compared literally, since ioredis reads `REDISS:` as no TLS. ioredis also takes any
 * of its options from the query; only `family` is useful there, since settings cover the others.
 */
export const redisAddress = z.string().superRefine((value, context) => {
  const wrong = (message: string): void => context.addIssue({ code: 'custom', message })
  if (!/^rediss?:\/\//.test(value)) return wrong('does not begin with redis:// or rediss://')
  if (!URL.canParse(value)) return wrong('is not a URL (special characters of a password are written as %XX)')
  const { hostname, username, password, pathname, searchParams, hash } = new URL(value)
  if (hostname === '') return wrong('names no host')
  if (!isDecodable(username) || !isDecodable(password))
    return wrong(
      'has a % in its user or password that is not followed by two hexadecimal digits; a % itself is written as %25',
    )
  if (!/^(\/\d{0,5})?$/.test(pathname)) return wrong('has a path that is not the number of a database')
  const options = [...searchParams].filter(([name, text]) => name !== 'family' || !/^[046]$/.test(text))
  if (options.length > 0) return wrong('has a query other than family=0, 4 or 6')
  if (hash !== '') return wrong('has a # (in a password it is written as %23)')
})

/** Whether every % of a part of a URL begins an escape, and the escapes are UTF-8. */
export function isDecodable(part: string): boolean {
  try {
    decodeURIComponent(part)
    return true
  } catch {
    return false
  }
}

/** `host:port/path` of a URL that passed `serviceUrl`: the part that may be shown. */
export function addressOf(url: string, defaultPort: number): string {
  const parsed = new URL(url)
  const host = parsed.hostname === '' ? (parsed.searchParams.get('host') ?? '') : parsed.hostname
  const port = parsed.port === '' ? String(defaultPort) : parsed.port
  return `${host}:${port}${parsed.pathname === '/' ? '' : parsed.pathname}`
}

/** An http(s) endpoint: scheme, host, port and perhaps a path; no credentials, query or fragment. */
export const httpEndpoint = z.string().superRefine((value, context) => {
  const wrong = (message: string): void => context.addIssue({ code: 'custom', message })
  if (!URL.canParse(value)) return wrong('is not a URL')
  const url = new URL(value)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return wrong('does not begin with http:// or https://')
  if (url.username !== '' || url.password !== '') return wrong('holds credentials; they have variables of their own')
  if (url.search !== '' || url.hash !== '') return wrong('has a query or a fragment')
  if (!isDecodable(url.pathname)) return wrong('has a % in its path that is not followed by two hexadecimal digits')
})
