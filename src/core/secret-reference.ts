// References to secrets, as words only (S5): where one may point. Nothing here reads a variable or a file.

import { notYet, quoted } from './manifest-faults.ts'
import { pathWithin } from './path-within.ts'

const TOOL_VARIABLE = /^HALLPASS_TOOL_[A-Z0-9_]+$/
const KEK_FILE = /(^|[-_.])(kek|key-encryption-key)([-_.]|$)/i

/** Whether a text is written as a reference to a secret. */
export const isSecretReference = (text: string): boolean => /^(env|file):\S/.test(text)

/**
 * What is wrong with a reference: it names no variable of a tool's, leads out of the secrets folder, or to the broker's
 * own key. A good one is refused too while no version reads them. `secretsFolder` is absolute, or null for none.
 */
export const secretReferenceFault = (reference: string, secretsFolder: string | null): string => {
  const named = quoted(reference)
  const target = reference.slice(reference.indexOf(':') + 1)
  if (reference.startsWith('env:')) {
    if (target === 'HALLPASS_KEK') return `secret reference ${named} is to Hallpass's own key: no manifest may reach it`
    if (!TOOL_VARIABLE.test(target))
      return `secret reference ${named}: a manifest may name HALLPASS_TOOL_* variables alone`
    return notYet(`secret references (${named})`)
  }
  const path = target.replaceAll('\\', '/')
  if (KEK_FILE.test(path.split('/').at(-1) ?? '')) {
    return `secret reference ${named} is to Hallpass's own key: no manifest may reach it`
  }
  const folder = secretsFolder?.replace(/\/+$/, '') ?? null
  const isAbsolute = path.startsWith('/')
  const relative = isAbsolute && folder !== null && path.startsWith(`${folder}/`) ? path.slice(folder.length) : path
  if ((isAbsolute && relative === path) || pathWithin('', relative) === null) {
    return `secret reference ${named} leads out of the secrets folder: name a file inside it, like file:tickets-token`
  }
  return notYet(`secret references (${named})`)
}
