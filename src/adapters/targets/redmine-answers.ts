// What Redmine's REST API answers, each held to its shape, and the words that are rights in it. Asks nothing.

import { z } from 'zod'
import { safeText } from '../../core/safe-text.ts'
import { TargetFailure } from '../../core/target.ts'
import { parseJson } from './conversation.ts'

/** A project's identifier and a role's name. All digits would be a project's number. */
const WORD = /^(?<project>(?!\d+:)[a-z0-9][a-z0-9_-]{0,99}):(?<role>\S(?:.{0,253}\S)?)$/u
export const listedUser = z.object({ id: z.int().positive(), login: z.string(), admin: z.boolean() })
export type ListedUser = z.infer<typeof listedUser>
const roles = z.array(z.object({ id: z.int(), name: z.string(), inherited: z.boolean().default(false) }))
export const membership = z.object({ id: z.int().positive(), project: z.object({ id: z.int().positive() }), roles })
export const user = z.object({
  user: listedUser.extend({
    status: z.int(),
    api_key: z.string().min(1),
    groups: z.array(z.object({ id: z.int() })),
    memberships: z.array(membership),
  }),
})
export type User = z.infer<typeof user>['user']
export const madeUser = z.object({ user: listedUser })
export const users = z.object({ total_count: z.int().nonnegative(), users: z.array(listedUser) })
export const project = z.object({ id: z.int().positive(), identifier: z.string() })
export const projects = z.object({ total_count: z.int().nonnegative(), projects: z.array(project) })
export const members = z.object({
  total_count: z.int().nonnegative(),
  memberships: z.array(membership.extend({ user: z.object({ id: z.int() }).optional() })),
})
export const givableRoles = z.object({ roles: z.array(z.object({ id: z.int().positive(), name: z.string() })) })

/** Throws where a word is not `PROJECT:ROLE`. */
export function parseRight(right: string): { readonly project: string; readonly role: string } {
  const { project, role } = WORD.exec(right)?.groups ?? {}
  if (project === undefined || role === undefined)
    throw new TargetFailure('refused', `${JSON.stringify(right)} is not a Redmine right: write PROJECT:ROLE`, {
      mayHaveActed: false,
    })
  return { project, role }
}

/** What Redmine finds wrong with a field: its users read this, and it holds no secret. */
export function faultsIn(text: string): string {
  const found = z.preprocess(parseJson, z.object({ errors: z.array(z.string()) })).safeParse(text)
  return found.success ? safeText(found.data.errors.join(', '), 200) : 'no reason given'
}
