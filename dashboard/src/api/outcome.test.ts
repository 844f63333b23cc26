import { expect, test } from "vitest";
import { failureText } from "./outcome";

test.each([
  ["no such session", "No such session."],
  ["the rules are off!", "The rules are off!"],
  ["acl.toml:8: neither of the two", "acl.toml:8: neither of the two."],
  ["users[0] has no name", "users[0] has no name."],
  ["start_after is no time", "start_after is no time."],
])("a refusal, %j, is a sentence, and names in it stay as they are", (detail, text) => {
  expect(failureText({ kind: "refused", status: 422, detail, retryAfter: null })).toBe(text);
});
