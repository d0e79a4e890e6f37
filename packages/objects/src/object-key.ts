const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const KEY = new RegExp(`^(?:.*/)?(default|${UUID})/(${UUID})/(${UUID})$`, 's')

/** The key of an attempt's object, below the store's prefix. */
export function objectKey(of: {
  readonly domain: string
  readonly fileId: string
  readonly attemptId: string
}): string {
  return `${of.domain}/${of.fileId}/${of.attemptId}`
}

/**
 * The inverse of {@link objectKey}: `<domain>/<file id>/<attempt id>`, below a prefix if there is one. Undefined for
 * keys of another form.
 */
export function parseObjectKey(
  key: string,
): { readonly domain: string; readonly fileId: string; readonly attemptId: string } | undefined {
  const [, domain, fileId, attemptId] = KEY.exec(key) ?? []
  return domain === undefined || fileId === undefined || attemptId === undefined
    ? undefined
    : { domain, fileId, attemptId }
}
