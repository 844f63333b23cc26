// Questions about the server itself: statistics, rules, events, health.
import { api } from "./client";
import { type Outcome, outcome } from "./outcome";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Stats = Schemas["StatsView"];
export type Usage = Schemas["UsageView"];
export type Failures = Schemas["FailuresView"];
export type Rules = Schemas["RulesView"];
export type Rule = Schemas["RuleView"];
export type RuleTest = Schemas["TestView"];
export type RuleQuestion = Schemas["TestBody"];
export type Reload = Schemas["ReloadView"];
export type Event = Schemas["EventView"];
export type Health = Schemas["HealthView"];
export type MetricsHistory = Schemas["CourseView"];
export type Pool = Schemas["PoolView"];
export type Resources = Schemas["ResourcesView"];
export type Config = Schemas["ConfigView"];

export function stats(hours: number, top: number, signal: AbortSignal): Promise<Outcome<Stats>> {
  const query = { window_hours: hours, top };
  return outcome(api.GET("/api/sessions/stats", { params: { query }, signal }));
}

/** Bytes by hour or day, of one user or of everybody. */
export function usage(
  query: { user?: string; bucket: "hour" | "day"; from: string },
  signal: AbortSignal,
): Promise<Outcome<Usage>> {
  return outcome(api.GET("/api/stats/usage", { params: { query }, signal }));
}

export function failures(hours: number, top: number, signal: AbortSignal): Promise<Outcome<Failures>> {
  const query = { window_hours: hours, top };
  return outcome(api.GET("/api/stats/failures", { params: { query }, signal }));
}

export function rules(signal: AbortSignal): Promise<Outcome<Rules>> {
  return outcome(api.GET("/api/acl/rules", { signal }));
}

export function testRules(question: RuleQuestion): Promise<Outcome<RuleTest>> {
  return outcome(api.POST("/api/acl/test", { body: question }));
}

export function reloadRules(): Promise<Outcome<Reload>> {
  return outcome(api.POST("/api/admin/reload-acl"));
}

export function events(
  query: { minutes?: number; limit?: number },
  signal: AbortSignal,
): Promise<Outcome<Event[]>> {
  return outcome(api.GET("/api/telemetry/events", { params: { query }, signal }));
}

export function health(signal: AbortSignal): Promise<Outcome<Health>> {
  return outcome(api.GET("/health", { signal }));
}

export function metricsHistory(minutes: number, signal: AbortSignal): Promise<Outcome<MetricsHistory>> {
  const query = { minutes, points: 720 };
  return outcome(api.GET("/api/metrics/history", { params: { query }, signal }));
}

export function pool(signal: AbortSignal): Promise<Outcome<Pool>> {
  return outcome(api.GET("/api/pool/stats", { signal }));
}

export function resources(signal: AbortSignal): Promise<Outcome<Resources>> {
  return outcome(api.GET("/api/system/resources", { signal }));
}

export function config(signal: AbortSignal): Promise<Outcome<Config>> {
  return outcome(api.GET("/api/system/config", { signal }));
}
