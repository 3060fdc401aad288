//! A column of each type, in tables that the baseline has: table and name.

pub(crate) type Column = (&'static str, &'static str);

pub(crate) const TEXT: Column = ("alert_sessions", "final_analysis");
pub(crate) const JSON: Column = ("mcp_communications", "tool_result");
pub(crate) const JSONB: Column = ("llm_interactions", "conversation");
pub(crate) const DOUBLE: Column = ("llm_interactions", "temperature");
pub(crate) const BIGINT: Column = ("alert_sessions", "completed_at_us");
pub(crate) const INTEGER: Column = ("stage_executions", "duration_ms");
pub(crate) const BOOLEAN: Column = ("mcp_communications", "success");
