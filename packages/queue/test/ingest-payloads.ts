/** Payloads that both the schema in code and the committed JSON Schema must take, or refuse. */
const FILE = '0198c0de-0000-7000-8000-0123456789ab'
const DOMAIN = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'
const NIL = '00000000-0000-0000-0000-000000000000'

export const VALID = {
  v: 1,
  fileId: FILE,
  domain: 'default',
  source: { root: 'inbox', path: 'a/b.txt' },
  generation: 1,
} as const

function source(path: unknown, root: unknown = 'inbox'): unknown {
  return { ...VALID, source: { root, path } }
}

function context(bytes: number): unknown {
  return { ...VALID, context: Buffer.alloc(bytes, 0xa5).toString('base64url') }
}

export const GOOD: readonly (readonly [string, unknown])[] = [
  ['the least there is', VALID],
  ['a domain of its own', { ...VALID, domain: DOMAIN }],
  ['a fleet', { ...VALID, fleet: DOMAIN }],
  ['a later generation', { ...VALID, generation: 2 ** 31 - 1 }],
  ['an empty context', { ...VALID, context: '' }],
  ['a context of 1 byte', context(1)],
  ['a context of 2 bytes', context(2)],
  ['a context of 3 bytes', context(3)],
  ['a context of 1,024 bytes', context(1024)],
  ['a path of one letter', source('a')],
  ['a path with dots', source('.a/..b/c..d/...')],
  ['a path with spaces and line breaks', source('a b/c\nd\r')],
  ['a path beyond ASCII', source('Ärger/日本/💾.bin')],
  ['a path with a backslash and a colon', source('C:\\x')],
  ['a path of 4,096 bytes', source('x'.repeat(4096))],
  ['a root of 64 letters', source('a', 'r'.repeat(64))],
]

export const BAD: readonly (readonly [string, unknown])[] = [
  ['a fleet that is no UUID', { ...VALID, fleet: 'default' }],
  ['a fleet that is null', { ...VALID, fleet: null }],
  ['null', null],
  ['a text', 'x'],
  ['a list', [VALID]],
  ['an empty object', {}],
  ['no version', { ...VALID, v: undefined }],
  ['version 2', { ...VALID, v: 2 }],
  ['version "1"', { ...VALID, v: '1' }],
  ['an unknown property', { ...VALID, pin: '1234' }],
  ['a property __proto__', JSON.parse(`{"__proto__":1,${JSON.stringify(VALID).slice(1)}`) as unknown],
  ['an unknown property of the source', { ...VALID, source: { root: 'inbox', path: 'a', mode: 1 } }],
  ['no file id', { ...VALID, fileId: undefined }],
  ['an upper-case file id', { ...VALID, fileId: FILE.toUpperCase() }],
  ['a file id in braces', { ...VALID, fileId: `{${FILE}}` }],
  ['a file id with a line end', { ...VALID, fileId: `${FILE}\n` }],
  ['a hostile file id', { ...VALID, fileId: "'; DROP TABLE files; --" }],
  ['a file id that is a list', { ...VALID, fileId: [FILE] }],
  ['the nil file id', { ...VALID, fileId: NIL }],
  ['the nil domain, whose name is "default"', { ...VALID, domain: NIL }],
  ['an unknown domain name', { ...VALID, domain: 'tenant-1' }],
  ['no source', { ...VALID, source: undefined }],
  ['a source that is a text', { ...VALID, source: 'inbox/a' }],
  ['no path', { ...VALID, source: { root: 'inbox' } }],
  ['an empty path', source('')],
  ['an absolute path', source('/etc/passwd')],
  ['.. as a path', source('..')],
  ['. as a path', source('.')],
  ['.. in front', source('../a')],
  ['.. in the middle', source('a/../b')],
  ['.. at the end', source('a/..')],
  ['. in the middle', source('a/./b')],
  ['an empty segment', source('a//b')],
  ['a slash at the end', source('a/')],
  ['a NUL', source('a\0b')],
  ['a lone surrogate', source('a\ud800b')],
  ['a path of 4,097 bytes', source('x'.repeat(4097))],
  ['an upper-case root', source('a', 'Inbox')],
  ['an empty root', source('a', '')],
  ['a root with a slash', source('a', 'in/box')],
  ['a root of 65 letters', source('a', 'r'.repeat(65))],
  ['a context of 1,025 bytes', context(1025)],
  ['a context with padding', { ...VALID, context: 'pQ==' }],
  ['a context in plain base64', { ...VALID, context: '+/+/' }],
  ['a context with bits set that no one reads', { ...VALID, context: 'pR' }],
  ['a context of impossible length', { ...VALID, context: 'pQaaa' }],
  ['a context that is null', { ...VALID, context: null }],
  ['generation 0', { ...VALID, generation: 0 }],
  ['a negative generation', { ...VALID, generation: -1 }],
  ['half a generation', { ...VALID, generation: 1.5 }],
  ['generation "1"', { ...VALID, generation: '1' }],
  ['a generation beyond 32 bits', { ...VALID, generation: 2 ** 31 }],
]
