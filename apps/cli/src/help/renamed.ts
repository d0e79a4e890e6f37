/** Verbs that have another name now. A line that says which helps hands and scripts that know the old one. */
export const RENAMED: Readonly<Record<string, string>> = {
  sweep: 'maintenance run sweep',
  reconcile: 'maintenance run reconcile',
  'scrub run': 'maintenance run scrub',
  'scrub status': 'maintenance show scrub',
  scrub: 'maintenance run scrub',
  'retention run': 'maintenance run retention',
  'audit checkpoint': 'maintenance run audit-checkpoint',
  'hsm latches': 'doctor pin list',
  'hsm unlatch': 'doctor pin reset',
  hsm: 'doctor pin',
}

/** What a command line that begins with an old name is answered with: one line that has the new one. Else undefined. */
export function renamedVerb([first = '', second = '']: readonly string[]): string | undefined {
  for (const old of [`${first} ${second}`, first]) {
    if (!Object.hasOwn(RENAMED, old)) continue
    return `\`sealfleet ${old}\` is now \`sealfleet ${RENAMED[old]}\``
  }
  return undefined
}
