// The proof: the whole trail leaves the broker, and is believed for its signature alone.
import { parseVerifierKey } from '../core/checkpoint.ts'
import { exportLines, verifyExport } from '../core/verify-export.ts'
import type { Tell } from './narrator.ts'
import type { Stage } from './stage.ts'
import { expectThat } from './steps.ts'

/** What an auditor carries home. */
export type Trail = { readonly lines: string; readonly publicKey: string }

export async function exportTrail({ admin }: Stage, tell: Tell): Promise<Trail> {
  tell.did(`${admin.name} exports the trail, and its public key`)
  const text = async (path: string) => new TextDecoder().decode(await admin.download(path))
  const trail = { lines: await text('/audit/export'), publicKey: await text('/audit/key') }
  tell.came(trail.publicKey.trim())
  return trail
}

/** With nothing but the public key, and no broker. */
export async function verifyTrail(tell: Tell, trail: Trail): Promise<void> {
  tell.did('audit verify, offline, with only the public key')
  const verified = await verify(trail)
  expectThat(verified.ok, 'the trail to verify', verified)
  const { records, root, signedAt } = verified.value
  tell.came(`OK ${records} records, no gap, root ${root.slice(0, 4)}…, signed ${signedAt.slice(11, 19)}Z`)
}

/** One name in one record, changed by a careful hand. */
export async function findTampering(tell: Tell, trail: Trail): Promise<void> {
  const original = trail.lines.split('\n').find((line) => line.includes('"request.approved"')) ?? ''
  const forged = original.replace('"triage-bot"', '"report-bot"')
  expectThat(forged !== original, 'an approval of triage-bot on the trail', original)
  tell.did('a copy says that the approval was for report-bot')
  const verified = await verify({ ...trail, lines: trail.lines.replace(original, forged) })
  expectThat(!verified.ok, 'the copy to be found out', verified)
  tell.came(`found out: ${verified.error.message}`)
}

function verify({ lines, publicKey }: Trail) {
  const key = parseVerifierKey(publicKey.trim())
  expectThat(key.ok, 'a public key', publicKey)
  return verifyExport(exportLines([new TextEncoder().encode(lines)]), key.value)
}
