/** What can be said of the documents by a program: their form, their links, and the names in them that the code defines. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { variableTable } from '@sealfleet/config'
import { createMetrics } from '@sealfleet/telemetry'
import { expect, test } from 'vitest'

const ROOT = path.resolve(import.meta.dirname, '../..')
const textOf = (document: string): string => readFileSync(path.join(ROOT, document), 'utf8')
const filesOf = (folder: string): readonly string[] =>
  readdirSync(path.join(ROOT, folder)).map((name) => path.join(folder, name))

const DOCS = ['docs', 'docs/decisions', 'docs/design', 'docs/operate', 'docs/reference']
const documents = ['.', ...DOCS, 'tools', ...filesOf('packages'), ...filesOf('apps')]
  .flatMap(filesOf)
  .filter((file) => file.endsWith('.md'))
  .sort()

/** The TypeScript sources below a folder, without generated ones. */
function sourcesOf(folder: string): readonly string[] {
  if (!existsSync(path.join(ROOT, folder))) return []
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'generated' ? [] : sourcesOf(file)
    return entry.name.endsWith('.ts') ? [file] : []
  })
}

interface Line {
  readonly at: string
  readonly text: string
  readonly code: boolean
}

/** The lines of a document; those of fenced blocks are code. */
function linesOf(document: string): readonly Line[] {
  let code = false
  return textOf(document)
    .split('\n')
    .map((text, n) => {
      const fence = /^ *```/.test(text)
      if (fence) code = !code
      return { at: `${document}:${n + 1}`, text, code: code || fence }
    })
}

const lines = documents.flatMap(linesOf)

test('no line is longer than 120 columns, but rows of tables and addresses', () => {
  const long = lines.filter(({ text }) => text.length > 120 && !text.startsWith('|') && !/https?:\/\/\S{60}/.test(text))
  expect(long.map(({ at, text }) => `${at} ${text.length}`)).toEqual([])
})

/** Words of another register, each with what is said instead. */
const WORDS: readonly (readonly [words: RegExp, instead: string])[] = [
  [/\bwho(m)?ever\b/gi, 'a person who, a user who, or the thing itself'],
  [/\bsomebody\b/gi, 'a person, or who it is'],
  [/\bnobody\b/gi, 'no one, no process, no user'],
  [/\banew\b/gi, 'again, or re-'],
  [/\bfor\s+ever\b/gi, 'permanently'],
  [/\bcan\s+not\b/gi, 'cannot'],
  [/\bso\s+many\b/gi, 'N'],
  [/\b(is|are)\s+told\b/gi, 'receives, is reported'],
  [/\bgoe?s?\s+on\b/gi, 'continues'],
]

/** Where a word is a name: a user of the system, and titles of tests in docs/design/hsm-faults.md. */
const NAMES = [/\(or `nobody`\)/, /`hsm-failover` goes on sealing/, /`worker\/hsm-failover` goes on sealing/]

test('the documents are in plain words', () => {
  const found = documents.flatMap((document) => {
    let text = textOf(document).replace(/(?<=\n)```[\s\S]*?\n```/g, '')
    for (const name of [...NAMES, /`start` lets the agents that run go on/]) text = text.replace(name, '')
    return WORDS.flatMap(([words, instead]) =>
      [...text.matchAll(words)].map(({ 0: word, index }) => {
        const around = text.slice(Math.max(0, index - 30), index + 30).replace(/\s+/g, ' ')
        return `${document}: "${word}" in "…${around}…": write ${instead}`
      }),
    )
  })
  expect(found).toEqual([])
})

/** Anchors of a document's headings, as GitHub makes them. */
function anchorsOf(document: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const { text, code } of linesOf(document)) {
    const heading = code ? undefined : /^#{1,6} (.+)$/.exec(text)?.[1]
    if (heading === undefined) continue
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/ /g, '-')
    let anchor = slug
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`
    anchors.add(anchor)
  }
  return anchors
}

test('every link leads to a file that is there, and to a heading that is in it', () => {
  const broken: string[] = []
  for (const document of documents) {
    const text = textOf(document).replace(/(?<=\n) *```[\s\S]*?\n *```/g, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const where = file === '' ? document : path.normalize(path.join(path.dirname(document), file))
      const there = existsSync(path.join(ROOT, where))
      if (!there || (anchor !== undefined && !anchorsOf(where).has(anchor))) broken.push(`${document}: ${target}`)
    }
  }
  expect(broken).toEqual([])
})

test('every setting that a document names is one of the table', () => {
  const known = variableTable().flatMap(({ name }) => {
    const [plain = ''] = name.split('[')
    return name.endsWith('[_FILE]') ? [plain, `${plain}_FILE`] : [plain]
  })
  const unknown = lines.flatMap(({ at, text }) =>
    [...text.matchAll(/\bSEALFLEET_(?!TEST_)[A-Z0-9_]+(…|\*)?/g)]
      // `SEALFLEET_S3_…` stands for all that begin so.
      .filter(([name]) => {
        const group = /^(.*_)(…|\*)?$/.exec(name)?.[1]
        return group === undefined ? !known.includes(name) : !known.some((one) => one.startsWith(group))
      })
      .map(([name]) => `${at} ${name}`),
  )
  expect(unknown).toEqual([])
})

test('every metric that a document names is one that is served', () => {
  const served = createMetrics({ processMetrics: false })
    .registry.getMetricsAsArray()
    .map(({ name }) => name)
  const named = lines.flatMap(({ at, text }) =>
    [...text.matchAll(/`(sealfleet_[a-z0-9_]+)(?:\{[^`]*\})?`/g)].map(([, name = '']) => ({ at, name })),
  )
  expect(named.length).toBeGreaterThan(30)
  // Functions of the database, which producers call; and a metric that ops makes where it asks.
  const others = ['sealfleet_batch', 'sealfleet_enqueue', 'sealfleet_ops_source_up']
  const unknown = named.filter(({ name }) => !served.includes(name) && !others.includes(name))
  expect(unknown.map(({ at, name }) => `${at} ${name}`)).toEqual([])
})

test('every metric that is served is in the reference, with its labels', () => {
  const rows = new Map(
    [...textOf('docs/reference/metrics.md').matchAll(/^\| `(sealfleet_\w+)` +\| \w+ +\| ([^|]*) \|/gm)].map(
      ([, name, labels = '']) => [name, labels.replaceAll('`', '').trim()],
    ),
  )
  const metrics = createMetrics({ processMetrics: false }).registry.getMetricsAsArray()
  const labelsOf = (metric: object): readonly string[] =>
    'labelNames' in metric ? (metric.labelNames as string[]) : []
  expect(metrics.map((metric) => [metric.name, rows.get(metric.name)])).toEqual(
    metrics.map((metric) => [metric.name, labelsOf(metric).join(', ')]),
  )
})

test('the reference has every log message that is a constant sentence, and no other', () => {
  const sources = [...filesOf('apps'), ...filesOf('packages')].flatMap((folder) => sourcesOf(path.join(folder, 'src')))
  const code = sources.map(textOf)
  const written = new Set(
    code.flatMap((text) =>
      [
        ...text.matchAll(
          /\blog(?:\.(?:info|warn|error|fatal)|\[[^\n]+\])\(\s*(?:(?:\{(?:[^{}]|\{[^{}]*\})*\}|[\w.]+(?:\(\w*\))?),\s*)?'([^'\n]+)'/g,
        ),
      ].map(([, message = '']) => message),
    ),
  )
  expect(written.size).toBeGreaterThan(30)
  const rows = [...textOf('docs/reference/log-lines.md').matchAll(/^\| `([^`|]+)`/gm)].map(
    ([, message = '']) => message,
  )
  expect([...written].filter((message) => !rows.includes(message))).toEqual([])
  const constant = rows.filter((message) => !message.includes('…'))
  expect(constant.filter((message) => !code.some((text) => text.includes(`'${message}'`)))).toEqual([])
})

test('every suite that CONTRIBUTING names is a file', () => {
  const [, table = ''] = textOf('CONTRIBUTING.md').split('## Which suite proves what')
  const named = [...table.matchAll(/`([a-z]+)`: ([a-z, -]+)/g)].flatMap(([, where = '', names = '']) =>
    names
      .split(', ')
      .map((name) => name.trim())
      .flatMap((name) => (name.includes(' ') ? [] : [[where, name] as const])),
  )
  expect(named.length).toBeGreaterThan(100)
  const missing = named.filter(([where, name]) =>
    [`packages/${where}/test`, `apps/${where}/test`, `${where}/test`].every(
      (folder) =>
        !existsSync(path.join(ROOT, folder, `${name}.test.ts`)) &&
        !existsSync(path.join(ROOT, folder, `${name}.endurance.test.ts`)),
    ),
  )
  expect(missing).toEqual([])
})

test('the map and the table of contents name every page', () => {
  const map = textOf('docs/README.md')
  for (const folder of ['design', 'reference'])
    for (const file of filesOf(`docs/${folder}`)) expect(map).toContain(`(${path.relative('docs', file)})`)
  const contents = textOf('docs/operate/README.md')
  for (const file of filesOf('docs/operate'))
    if (!file.endsWith('README.md')) expect(contents).toContain(`(${path.basename(file)})`)
})

test('every script that a document runs is there', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Readonly<Record<string, string>> }
  const missing = lines.flatMap(({ at, text }) => [
    ...[...text.matchAll(/\bnpm run ([a-z][a-z:]*)/g)]
      .filter(([, name = '']) => !(name in scripts))
      .map(([command]) => `${at} ${command}`),
    ...[...text.matchAll(/\bnode ((?:apps|packages|scripts)\/[\w./-]+\.m?js)/g)]
      .filter(([, file = '']) => !existsSync(path.join(ROOT, file)))
      .map(([command]) => `${at} ${command}`),
  ])
  expect(missing).toEqual([])
})
