import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { openStore } from '../src/store.js'
import type { StoreOptions } from '../src/types.js'

interface Answer {
  readonly status: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Opens a store that gives the same answer to everything, and says how that ended. */
async function refusedBy({ status, body = '', headers = {} }: Answer, options: Partial<StoreOptions> = {}) {
  const seen = new Set<string>()
  const server = createServer((request, response) => {
    for (const name of Object.keys(request.headers)) seen.add(name)
    request.resume()
    request.on('end', () => response.writeHead(status, { 'content-type': 'application/xml', ...headers }).end(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const keys = { accessKeyId: 'a', secretAccessKey: 'b' }
  try {
    const failure: unknown = await openStore({
      ...{ endpoint, region: 'us-east-1', bucket: 'sealed', ...keys, maxAttempts: 1, onWarning: () => undefined },
      ...options,
    }).catch((error: unknown) => error)
    return { failure: failure as { code: string; message: string; fix: string }, headers: [...seen] }
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const xml = (code: string, message: string, more = ''): string =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message>${more}<RequestId>r</RequestId></Error>`

test.each<[string, Answer, string, RegExp, RegExp]>([
  [
    'a bucket in another region, by the header of a redirect',
    {
      status: 301,
      headers: { 'x-amz-bucket-region': 'eu-central-1' },
      body: xml('PermanentRedirect', 'The bucket must be addressed elsewhere.'),
    },
    'S3_REJECTED',
    /301 PermanentRedirect: The bucket must be addressed elsewhere/,
    /SEALFLEET_S3_REGION=eu-central-1/,
  ],
  [
    'a bucket in another region, by the body of a 400',
    {
      status: 400,
      body: xml('AuthorizationHeaderMalformed', 'the region is wrong', '<Region>eu-west-3</Region>'),
    },
    'S3_REJECTED',
    /the region is wrong/,
    /SEALFLEET_S3_REGION=eu-west-3/,
  ],
  [
    'a bucket in another region, by the words of a 400',
    { status: 400, body: xml('AuthorizationHeaderMalformed', `the region 'a' is wrong; expecting 'eu-west-3'`) },
    'S3_REJECTED',
    /expecting 'eu-west-3'/,
    /SEALFLEET_S3_REGION=eu-west-3/,
  ],
  [
    'a redirect that names no region',
    { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
    'S3_REJECTED',
    /302/,
    /SEALFLEET_S3_ENDPOINT/,
  ],
  [
    'a 400 in the store’s own words',
    { status: 400, body: xml('InvalidArgument', 'Metadata is too long.') },
    'S3_REJECTED',
    /400 InvalidArgument: Metadata is too long$/,
    /refused/,
  ],
  [
    'a 403 in the store’s own words',
    { status: 403, body: xml('AccessDenied', 'User x may not s3:PutObject') },
    'S3_ACCESS_DENIED',
    /403 AccessDenied: User x may not s3:PutObject$/,
    /policy/,
  ],
  [
    'a store that does not know checksums, by its words',
    { status: 400, body: xml('InvalidRequest', 'Unknown header x-amz-checksum-crc32') },
    'S3_UNSUPPORTED',
    /Unknown header x-amz-checksum-crc32/,
    /SEALFLEET_S3_CHECKSUMS=when-required/,
  ],
  [
    'a store that does not know checksums, by the header that it names',
    { status: 501, body: xml('NotImplemented', 'Not implemented', '<Header>x-amz-sdk-checksum-algorithm</Header>') },
    'S3_UNSUPPORTED',
    /x-amz-sdk-checksum-algorithm/,
    /SEALFLEET_S3_CHECKSUMS=when-required/,
  ],
  [
    'words that drive a terminal or hold a secret',
    { status: 400, body: xml('InvalidArgument', 'a&#x202e;b password=hunter2 c') },
    'S3_REJECTED',
    /a\\u\{202E\}b password=\[redacted\] c$/,
    /./,
  ],
])('%s', async (_, answer, code, message, fix) => {
  const { failure } = await refusedBy(answer)
  expect(failure.code).toBe(code)
  expect(failure.message).toMatch(message)
  expect(failure.fix).toMatch(fix)
})

test('what is no answer of S3 is not repeated', async () => {
  const { failure } = await refusedBy({ status: 400, body: '<html><body>Bad & gateway' })
  expect(failure.message).not.toMatch(/html|char|gateway/i)
})

test.each([
  ['when-supported', true],
  ['when-required', false],
] as const)('checksums %s: a CRC-32 goes with a body: %s', async (checksums, sent) => {
  const { headers } = await refusedBy({ status: 403 }, { checksums })
  expect(headers.some((name) => /^x-amz-(sdk-)?checksum/.test(name))).toBe(sent)
})
