#pragma once

namespace corpus {

// Runs once, before any task of the application.
void set_up();

}  // namespace corpus
