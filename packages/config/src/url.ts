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

/** `host:port/path` of a URL that passed `serviceUrl`: what may be shown of it. */
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
})
