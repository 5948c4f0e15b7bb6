"""The MedicalPatchNet core, shared by serving and training: findings, preprocessing, model, maps and artifacts."""
