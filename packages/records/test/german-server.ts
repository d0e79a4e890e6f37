/** A TCP port before the tests' Postgres, which then speaks German, as one with lc_messages = 'de_DE.UTF-8' does. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** From PostgreSQL's own catalogue (de.po of 15). */
const SENTENCES: readonly (readonly [english: RegExp, german: string])[] = [
  [/^permission denied for table (\S+)$/, 'keine Berechtigung für Tabelle $1'],
  [/^permission denied for schema (\S+)$/, 'keine Berechtigung für Schema $1'],
  [
    /^new row for relation "(.*)" violates check constraint "(.*)"$/,
    'neue Zeile für Relation »$1« verletzt Check-Constraint »$2«',
  ],
  [
    /^duplicate key value violates unique constraint "(.*)"$/,
    'doppelter Schlüsselwert verletzt Unique-Constraint »$1«',
  ],
  [
    /^insert or update on table "(.*)" violates foreign key constraint "(.*)"$/,
    'Einfügen oder Aktualisieren in Tabelle »$1« verletzt Fremdschlüssel-Constraint »$2«',
  ],
  [/^password authentication failed for user "(.*)"$/, 'Passwort-Authentifizierung für Benutzer »$1« fehlgeschlagen'],
  [/^database "(.*)" does not exist$/, 'Datenbank »$1« existiert nicht'],
  [/^relation "(.*)" does not exist$/, 'Relation »$1« existiert nicht'],
  [/^canceling statement due to statement timeout$/, 'storniere Anfrage wegen Zeitüberschreitung der Anfrage'],
  [
    /^null value in column "(.*)" of relation "(.*)" violates not-null constraint$/,
    'NULL-Wert in Spalte »$1« von Relation »$2« verletzt Not-Null-Constraint',
  ],
]

const SEVERITIES: Readonly<Record<string, string>> = { ERROR: 'FEHLER', FATAL: 'FATAL', WARNING: 'WARNUNG' }

export interface GermanServer extends AsyncDisposable {
  /** The server's address, with this port in it. */
  readonly url: string
  /** What the server said in English first; it is not known here what it is in German. */
  readonly untranslated: readonly string[]
}

/** @param upstream a postgres: URL without TLS */
export async function startGermanServer(upstream: string): Promise<GermanServer> {
  const target = new URL(upstream)
  const sockets = new Set<Socket>()
  const untranslated: string[] = []
  const server = createServer((client) => {
    const postgres = connect(Number(target.port), target.hostname)
    for (const [socket, other] of [
      [client, postgres],
      [postgres, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.end()
      })
    }
    client.pipe(postgres)
    let rest: Buffer = Buffer.alloc(0)
    postgres.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      // Type, length with itself, body: https://www.postgresql.org/docs/current/protocol-message-formats.html
      while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
        const end = 1 + rest.readUInt32BE(1)
        client.write(translated(rest.subarray(0, end), untranslated))
        rest = rest.subarray(end)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = new URL(upstream)
  url.host = `127.0.0.1:${address.port}`
  return {
    url: url.href,
    untranslated,
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** ErrorResponse, with the fields that a server translates: S, the severity, and M, the sentence. */
function translated(message: Buffer, untranslated: string[]): Buffer {
  if (message[0] !== 'E'.charCodeAt(0)) return message
  const fields = message.subarray(5, -1).toString('utf8').split('\0').slice(0, -1)
  const german = fields.map((field) => {
    const [kind, text] = [field.slice(0, 1), field.slice(1)]
    if (kind === 'S') return `S${SEVERITIES[text] ?? text}`
    if (kind !== 'M') return field
    const found = SENTENCES.find(([english]) => english.test(text))
    if (found === undefined) untranslated.push(text)
    return found === undefined ? field : `M${text.replace(found[0], found[1])}`
  })
  const body = Buffer.from(`${german.map((field) => `${field}\0`).join('')}\0`, 'utf8')
  const head = Buffer.alloc(5)
  head.write('E', 'latin1')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
