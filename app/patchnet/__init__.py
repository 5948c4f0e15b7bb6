"""The MedicalPatchNet core shared by serving and training: torch and numpy only, no files but the artifact's."""
